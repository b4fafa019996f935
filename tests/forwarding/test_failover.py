"""A region takes over from the primary one, which comes back as a replica, and then as the primary."""

from __future__ import annotations

from contextlib import ExitStack

import peewee
import pytest

import fly_orm
from fly_orm import NotDelivered, Refused
from fly_orm.deadline import now
from fly_orm.testing import Cluster
from fly_orm.topology import Node
from tests.support.three_regions import HERE, RPC_TIMEOUT, three_regions
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until

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
        assert caller.write_by_function() == "syd"

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


@pytest.mark.usefixtures("no_spare_channels")
def test_requests_return_although_the_other_region_still_accepts_them(cluster, database, monkeypatch):
    """A region without a replica accepts requests as long as its nodes reach the primary."""
    monkeypatch.setattr("fly_orm.forwarding.return_check.INTERVAL", 0.1)
    with ExitStack() as undo:

        def wrapped(server, region, **nodes):
            listed = {name: (Node(region=name, address=address),) for name, address in nodes.items()}
            given = settings(region, nodes=listed)
            db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(server, database)), settings=given)
            undo.callback(close, db)
            return db, given

        def serve(region, listen="127.0.0.1:0", **nodes):
            db, given = wrapped(cluster.primary, region, **nodes)
            db.execute_sql("CREATE TABLE IF NOT EXISTS item (name text)")  # which checks that this is the primary
            serving = fly_orm.serve(db, listen=listen, settings=given)
            undo.callback(serving.close)
            return serving

        syd = serve("syd")
        lax = serve("lax", syd=syd.address)
        cluster.wait_for_replica()
        ams, _ = wrapped(cluster.replica, "ams", syd=syd.address, lax=lax.address)

        def server_of_a_write():
            ams.execute_sql("INSERT INTO item VALUES ('a')")
            return fly_orm.why().node

        assert server_of_a_write() == f"syd={syd.address}"
        syd.close()
        until(lambda: server_of_a_write() == f"lax={lax.address}")
        serve("syd", listen=syd.address)
        until(lambda: server_of_a_write() == f"syd={syd.address}")


def test_the_last_region_that_is_left_needs_nobody_to_know_that_it_has_the_primary(world):
    world.servers["syd"].stop()
    world.servers["ams"].stop()
    world.lead("lax")
    lax = world.callers["lax"]
    lax.recovers(lax.write_by_function, "lax")
