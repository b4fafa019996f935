"""A node that has left a request without a reply gets no other one until it has shown that it is there."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

import fly_orm
from fly_orm import FlyOrmError, NotDelivered, OutcomeUnknown
from fly_orm.topology import Node
from tests.support.two_regions import TwoRegions, settings
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels", "impatient")

IDLE = 4
INSERT = "INSERT INTO item VALUES ('a')"


@pytest.fixture
def _table(regions: TwoRegions) -> None:
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()


@pytest.fixture
def db(regions: TwoRegions, _table: None) -> Any:
    """A database in lax, with several idle channels to the node in syd."""
    made = regions.lax(options={"rpc_timeout": 1.0})
    open_idle_channels(made)
    return made


def open_idle_channels(db: Any) -> None:
    with ExitStack() as stack:
        connections = [db._connect() for _ in range(IDLE)]
        for connection in connections:
            stack.callback(connection.close)
            connection.autocommit = False
            connection.cursor().execute(INSERT)
        for connection in connections:
            connection.commit()


def outcomes(db: Any, count: int) -> list[type[BaseException]]:
    """The errors of writes one after another."""
    errors = []
    for _ in range(count):
        with pytest.raises((OutcomeUnknown, NotDelivered)) as caught:
            db.execute_sql(INSERT)
        errors.append(OutcomeUnknown if isinstance(caught.value, OutcomeUnknown) else NotDelivered)
    return errors


def succeeds(db: Any) -> bool:
    try:
        db.execute_sql(INSERT)
    except FlyOrmError:
        return False
    return True


@pytest.mark.parametrize("weather", ["stall", "deaf"])
def test_one_request_only_has_an_unknown_outcome(regions: TwoRegions, db: Any, weather: str) -> None:
    getattr(regions.wan, weather)()
    assert outcomes(db, 3) == [OutcomeUnknown, NotDelivered, NotDelivered]
    regions.wan.heal()
    until(lambda: succeeds(db))


def test_channels_go_on_if_the_node_was_only_slow(regions: TwoRegions, db: Any) -> None:
    opened = regions.wan.connections
    regions.wan.stall()
    assert outcomes(db, 1) == [OutcomeUnknown]
    regions.wan.heal()
    before = regions.wan.round_trips
    db.execute_sql(INSERT)
    assert regions.wan.round_trips == before + 2  # the node is asked first
    db.execute_sql(INSERT)
    assert regions.wan.round_trips == before + 3  # and not again
    assert regions.wan.connections == opened


@pytest.mark.slow
@pytest.mark.usefixtures("_table")
def test_another_node_is_used_meanwhile(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fly_orm.forwarding.channels.CONNECT_TIMEOUT", 2.0)
    with fly_orm.serve(regions.syd(), listen="127.0.0.1:0", settings=settings("syd")) as other:
        nodes = {"syd": tuple(Node(region="syd", address=each) for each in (regions.wan.address, other.address))}
        both = regions.lax(options={"settings": regions.lax_settings(nodes=nodes, rpc_timeout=15.0)})
        for _ in range(4):
            open_idle_channels(both)
        regions.wan.deaf()
        unknown = 0
        for _ in range(20):
            try:
                both.execute_sql(INSERT)
            except OutcomeUnknown:
                unknown += 1
        assert unknown <= 1
