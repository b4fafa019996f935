"""What its caller gave up does not happen later, although NATS delivers it in the end."""

import time

import pytest
from fly_orm_nats.caller_end import CallerEnd
from found import ADDRESS

import fly_orm
from fly_orm.errors import OutcomeUnknown
from fly_orm.testing import Wan
from fly_orm.topology import Node
from tests.support.hurrying import hurried

TIMEOUT = 1.0


@fly_orm.on_primary
def add(name):
    next(iter(databases)).execute_sql("INSERT INTO item VALUES (%s)", (name,))


databases = []


@pytest.fixture
def wan(nats):
    with Wan(f"127.0.0.1:{nats.port}") as between:
        yield between


@pytest.fixture
def far(regions, nats, wan, monkeypatch):
    """A database in lax, from which a network of its own leads to NATS."""
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    syd = regions.syd()
    databases[:] = [syd]
    settings = regions.lax_settings(discovery="", nodes={"syd": (Node(region="syd", address=ADDRESS),)})
    regions.undo.enter_context(fly_orm.serve(syd, listen=ADDRESS, settings=syd._fly_orm.settings))
    monkeypatch.setenv("NATS_URL", f"nats://{wan.address}")
    fly_orm.configure(settings)
    yield regions.on(regions.cluster.replica, options={"settings": settings})
    databases.clear()


@pytest.mark.parametrize("kind", ["statement", "function"])
def test_it_is_declined(regions, wan, far, kind, monkeypatch):
    def write(name):
        add(name) if kind == "function" else far.execute_sql("INSERT INTO item VALUES (%s)", (name,))

    write("warm")
    wan.stall()
    with monkeypatch.context() as patch, hurried(far, TIMEOUT), pytest.raises(OutcomeUnknown) as caught:
        patch.setattr(CallerEnd, "close", lambda self, reason: None)  # of which the node could hear in time
        write("late")
    assert caught.value.settled_after > 0
    wan.heal()
    time.sleep(0.3)
    assert regions.query("SELECT string_agg(name, ' ') FROM item") == "warm"
