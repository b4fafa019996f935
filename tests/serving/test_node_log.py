"""What a node logs of its peers, of what it declines, and of what it ends."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import fly_orm
from fly_orm.observing import PeerRefused, rarely
from fly_orm.observing.rarely import Rarely
from fly_orm.serving.peers import Peers
from tests.observing.heard import hearing
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels", "impatient")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Any:
    """The records of a node so far, by event."""
    caplog.set_level(logging.DEBUG, "fly_orm.node")

    def records(event: str) -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.__dict__.get("event") == event]

    return records


def test_its_peers(regions: TwoRegions, log: Any) -> None:
    db, other = regions.lax(), regions.lax()
    for each in (db, other):
        each.execute_sql("CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY)")
    with db.atomic(), other.atomic():
        db.execute_sql("SELECT 1")
        other.execute_sql("SELECT 1")  # over another channel
    db._fly_orm.forwarder.close()
    other._fly_orm.forwarder.close()
    until(lambda: len(log("peer_gone")) == len(log("peer_connected")))
    connected = log("peer_connected")
    assert [record.levelname for record in connected] == ["INFO"] + ["DEBUG"] * (len(connected) - 1)
    assert {(record.peer, record.region) for record in connected} == {("127.0.0.1", "lax")}
    assert [record.levelname for record in log("peer_gone")][-1] == "INFO"


def test_a_peer_that_greets_again_is_no_other(log: Any) -> None:
    peers = Peers()
    for _ in range(2):
        peers.greeted("channel", "10.0.0.1", "lax")
    assert (len(peers), len(log("peer_connected"))) == (1, 1)
    for _ in range(2):
        peers.gone("channel")
    assert (len(peers), len(log("peer_gone"))) == (0, 1)


def test_what_it_declines_once_a_minute(regions: TwoRegions, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    time = [1000.0]
    monkeypatch.setattr(rarely, "now", lambda: time[0])
    db = regions.lax()
    regions.serving._executor.draining = True
    with hearing() as heard:
        for _ in range(3):
            with pytest.raises(fly_orm.Refused):
                db.execute_sql("CREATE TABLE t ()")
        (first,) = log("peer_refused")
        time[0] += 61
        with pytest.raises(fly_orm.Refused):
            db.execute_sql("CREATE TABLE t ()")
    refused = heard.of(PeerRefused)
    assert {(each.peer, each.kind, each.reason) for each in refused} == {("127.0.0.1", "run", "draining")}
    _, second = log("peer_refused")
    assert (first.levelname, first.peer, first.reason, first.count) == ("WARNING", "127.0.0.1", "draining", 0)
    assert second.count == len(refused) - 2
    assert second.getMessage().endswith(f"(It has happened {second.count} more times since this was logged last.)")


def test_the_transaction_of_a_process_that_is_gone(regions: TwoRegions, log: Any) -> None:
    db = regions.lax()
    db.execute_sql("CREATE TABLE t (id serial PRIMARY KEY)")
    db.begin()
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    regions.wan.cut()
    until(lambda: log("lease_cut_off"))
    (record,) = log("lease_cut_off")
    assert record.getMessage() == (
        f"ended the lease on {regions.name!r} of a process on 127.0.0.1, which is gone; "
        "a transaction was open, and is rolled back"
    )
    assert (record.peer, record.database, record.levelname) == ("127.0.0.1", regions.name, "INFO")


def test_that_it_shuts_down(regions: TwoRegions, log: Any) -> None:
    regions.serving.close(drain_timeout=5)
    (record,) = log("drain_began")
    assert record.getMessage().endswith("what is in progress has 5 s")


def test_strangers_cannot_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    time = [0.0]
    monkeypatch.setattr(rarely, "now", lambda: time[0])
    log = Rarely()
    assert sum(log.since_last(number) is not None for number in range(2 * rarely.MOST)) == rarely.MOST
    time[0] = rarely.INTERVAL
    assert log.since_last("another") == 0
    assert log.since_last("another") is None
