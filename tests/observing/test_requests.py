"""What observers hear of requests, channels, nodes and replicas: in lax, and on the node in syd, which is here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg2
import pytest

import fly_orm
from fly_orm.observing import (
    ChannelClosed,
    ChannelOpened,
    ChannelRefused,
    ConnectionLent,
    LeaseEnded,
    LeaseOpened,
    NodeReturned,
    NodeSetAside,
    PeerConnected,
    PeerGone,
    ProofFailed,
    ReadFellBack,
    ReplicaCaughtUp,
    ReplicaLate,
    RequestEnded,
    RequestExecuted,
    RequestReceived,
    RequestStarted,
    StatementServed,
    UnknownOutcome,
    WaitEnded,
)
from fly_orm.observing.listeners import MAX_CONTEXT
from fly_orm.protocol.messages import Run
from tests.observing.heard import Heard, hearing
from tests.support.two_regions import OTHER_SECRET, TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels", "impatient")
INSERT = "INSERT INTO t DEFAULT VALUES"


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """A database in lax that has written nothing yet."""
    regions.query("CREATE TABLE t (id serial PRIMARY KEY)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def test_a_write_from_one_end_to_the_other(regions: TwoRegions, db: Any) -> None:
    with hearing() as heard:
        db.execute_sql(INSERT)
        until(lambda: heard.of(LeaseEnded))
    node = f"syd={regions.wan.address}"
    (started,), (ended,) = heard.of(RequestStarted), heard.of(RequestEnded)
    assert (started.id, started.kind, started.node, started.database) == (ended.id, "run", node, regions.name)
    assert (ended.kind, ended.node, ended.database, ended.declined, ended.error) == (
        "run",
        node,
        regions.name,
        None,
        None,
    )
    assert 100 < ended.sent_bytes < 10_000
    assert 10 < ended.received_bytes < 10_000
    (received,), (executed,) = heard.of(RequestReceived), heard.of(RequestExecuted)
    assert (received.id, received.kind, received.peer, received.context) == (executed.id, "run", "127.0.0.1", {})
    assert (executed.database, executed.declined, executed.error) == (regions.name, None, None)
    assert 0 < executed.seconds < ended.seconds
    (statement,), (waited,) = heard.of(StatementServed), heard.of(WaitEnded)
    assert (waited.database, waited.late) == (regions.name, False)
    assert ended.seconds + waited.seconds <= statement.total
    (opened,), (lent,), (over,) = heard.of(LeaseOpened), heard.of(ConnectionLent), heard.of(LeaseEnded)
    assert (opened.database, opened.peer, over.peer) == (regions.name, "127.0.0.1", "127.0.0.1")
    assert (lent.database, lent.in_use, lent.size) == (regions.name, 1, regions.serving._executor.limits.pool_size)
    assert lent.wait == opened.seconds < executed.seconds
    (channel,), (peer,) = heard.of(ChannelOpened), heard.of(PeerConnected)
    assert (channel.node, peer.peer, peer.region) == (node, "127.0.0.1", "lax")
    assert channel.seconds > 0


def test_a_channel_that_is_closed(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT)
    with hearing() as heard:
        db._fly_orm.forwarder.close()
        until(lambda: heard.of(PeerGone))
    (closed,), (gone,) = heard.of(ChannelClosed), heard.of(PeerGone)
    assert (closed.node, gone.peer, gone.region) == (f"syd={regions.wan.address}", "127.0.0.1", "lax")
    assert closed.seconds > 0
    assert gone.seconds > 0


def test_a_node_that_cannot_be_reached_and_then_can(regions: TwoRegions, db: Any) -> None:
    regions.wan.cut()
    with hearing() as heard:
        with pytest.raises(fly_orm.NotDelivered):
            db.execute_sql(INSERT)
        regions.wan.heal()
        db.execute_sql(INSERT)
    node = f"syd={regions.wan.address}"
    assert {(each.node, each.error) for each in heard.of(ChannelRefused)} == {(node, "NotDelivered")}
    (aside,), (back,) = heard.of(NodeSetAside), heard.of(NodeReturned)
    assert (aside.node, back.node) == (node, node)
    assert aside.why
    assert back.seconds > 0
    failed, succeeded = heard.of(StatementServed)
    assert (failed.error, failed.round_trips, succeeded.error, succeeded.round_trips) == ("NotDelivered", 0, None, 1)


def test_a_write_whose_reply_is_lost(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT)
    regions.wan.cut_before_reply()
    with hearing() as heard, pytest.raises(fly_orm.OutcomeUnknown):
        db.execute_sql(INSERT)
    (unknown,) = heard.of(UnknownOutcome)
    assert (unknown.database, unknown.function, unknown.node) == (regions.name, None, f"syd={regions.wan.address}")
    (ended,) = heard.of(RequestEnded)
    assert (ended.error, ended.received_bytes) == ("OutcomeUnknown", 0)
    assert ended.sent_bytes > 0


def test_an_error_of_a_statement(db: Any) -> None:
    with hearing() as heard, pytest.raises(psycopg2.Error):
        db.connection().cursor().execute("INSERT INTO t VALUES ('x')")
    (executed,) = heard.of(RequestExecuted)
    assert (executed.error, executed.declined) == ("22P02", None)


def test_a_request_that_is_declined(regions: TwoRegions, db: Any) -> None:
    regions.serving._executor.draining = True
    with hearing() as heard, pytest.raises(fly_orm.Refused):
        db.execute_sql(INSERT)
    (executed,), (ended,) = heard.of(RequestExecuted), heard.of(RequestEnded)
    assert (executed.declined, ended.declined) == ("draining", "draining")
    assert executed.why


def test_a_read_that_the_replica_refuses(regions: TwoRegions, db: Any) -> None:
    regions.query("CREATE FUNCTION add() RETURNS void LANGUAGE sql AS 'INSERT INTO t DEFAULT VALUES'")
    regions.cluster.wait_for_replica()
    with hearing() as heard:
        db.execute_sql("SELECT add()")
    (fallback,) = heard.of(ReadFellBack)
    assert (fallback.database, fallback.because, fallback.sqlstate) == (regions.name, "refused", "25006")
    assert "read-only transaction" in fallback.why


def test_a_replica_that_is_late_and_catches_up(regions: TwoRegions) -> None:
    db = regions.lax(options={"settings": regions.lax_settings(replication_timeout=0.1)})
    db.execute_sql("CREATE TABLE t (id serial PRIMARY KEY)")
    with hearing() as heard:
        with regions.cluster.replay_paused():
            db.execute_sql(INSERT)
            (late,) = heard.of(ReplicaLate)
            db.execute_sql("SELECT * FROM t")
            (fallback,) = heard.of(ReadFellBack)
        until(lambda: db.execute_sql("SELECT * FROM t") and heard.of(ReplicaCaughtUp))
    assert (late.server or "").endswith(f":{regions.cluster.replica.port}")
    assert late.timeout == 0.1
    assert (late.missing_bytes or 0) > 0
    assert fallback.because == "late"
    (caught_up,) = heard.of(ReplicaCaughtUp)
    assert (caught_up.server, caught_up.restarted) == (late.server, False)
    assert caught_up.seconds > 0
    assert [each.late for each in heard.of(WaitEnded)][:1] == [True]


def test_a_read_that_is_wanted_on_the_primary_has_not_fallen_back(regions: TwoRegions, db: Any) -> None:
    with hearing() as heard, fly_orm.primary():
        db.execute_sql("SELECT * FROM t")
    assert heard.of(StatementServed)[0].round_trips == 1
    assert not heard.of(ReadFellBack)


def test_a_peer_with_another_secret(regions: TwoRegions) -> None:
    other = regions.lax(options={"settings": regions.lax_settings(secret=OTHER_SECRET)})
    with hearing() as heard, pytest.raises(fly_orm.AuthenticationFailed):
        other.execute_sql("CREATE TABLE t ()")
    failed, refused = heard.of(ProofFailed), heard.of(ChannelRefused)
    assert {each.because for each in failed} == {"secret"}
    assert failed[0].peer.startswith("127.0.0.1:")
    assert {each.error for each in refused} == {"AuthenticationFailed"}


class Carrying(Heard):
    """Gives each request a context."""

    def __init__(self, context: Mapping[str, str]) -> None:
        super().__init__()
        self.context = context

    def request_started(self, event: RequestStarted) -> Mapping[str, str]:
        return self.context


def test_a_request_carries_a_context_to_the_node(regions: TwoRegions, db: Any) -> None:
    carrying = Carrying({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    with fly_orm.observe(carrying):
        db.execute_sql(INSERT)
    (received,) = carrying.of(RequestReceived)
    assert received.context == carrying.context


def test_a_node_passes_on_no_context_that_is_too_long(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fly_orm.forwarding.observed_request.context_of", lambda _: {"a": "x" * MAX_CONTEXT})
    with hearing() as heard:
        db.execute_sql(INSERT)
    (received,) = heard.of(RequestReceived)
    assert received.context == {}


def test_a_context_costs_nothing_that_has_none() -> None:
    assert b"context" not in msgspec.msgpack.encode(Run(database="shop", lease=b""))
