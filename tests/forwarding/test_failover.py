"""A region takes over from the primary one, which comes back as a replica, and then as the primary."""

from __future__ import annotations

import pytest

from fly_orm import NotDelivered, Refused
from fly_orm.deadline import now
from fly_orm.testing import Cluster
from tests.support.three_regions import HERE, RPC_TIMEOUT, three_regions

pytestmark = pytest.mark.slow


@pytest.fixture
def world():
    with Cluster.start() as cluster, three_regions(cluster) as regions:
        yield regions


def test_every_region_finds_the_primary_by_itself_wherever_it_goes(world):
    syd, lax, ams = world.callers["syd"], world.callers["lax"], world.callers["ams"]
    assert syd.write() == syd.write_by_function() == HERE
    for caller in (lax, ams):
        assert caller.write().startswith("syd=")
        assert caller.write_by_function().startswith("syd=")

    world.servers["syd"].stop()
    for work in (lax.write, lax.write_by_function, ams.write, ams.write_by_function):
        started = now()
        with pytest.raises((NotDelivered, Refused), match=r"syd=.*(lax|ams)="):
            work()
        assert now() - started < RPC_TIMEOUT + 1
    world.lead("lax")
    lax.recovers(lax.write, HERE)
    for work in (ams.write, ams.write_by_function, lax.write_by_function):
        work.__self__.recovers(work, "lax")

    world.follow("syd", "lax")
    for caller in (syd, ams):
        caller.recovers(caller.write, "lax")
        caller.recovers(caller.write_by_function, "lax")

    world.servers["lax"].stop()
    world.lead("syd")
    world.follow("lax", "syd")
    syd.recovers(syd.write, HERE)
    syd.recovers(syd.write_by_function, HERE)
    for caller in (lax, ams):
        caller.recovers(caller.write, "syd")
        caller.recovers(caller.write_by_function, "syd")
    assert world.stored() == sorted(name for caller in world.callers.values() for name in caller.written)
