"""What lies between a process and NATS is slow, or fails."""

import pytest
from fly_orm_nats.connector import PING_INTERVAL
from fly_orm_nats.frames import WINDOW_BYTES
from fly_orm_nats.peers import HEARTBEAT_INTERVAL, SILENCE_TIMEOUT
from split_transport import SplitTransport
from stopwatch import Stopwatch

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.testing import Wan
from fly_orm.testing.contract.tools import SOON, Held, ask, in_thread, node_of, result, soon, until

RTT = 0.2
#: Enough for a busy machine.
SLACK = 10.0


@pytest.fixture
def wan(nats):
    with Wan(f"127.0.0.1:{nats.port}") as between:
        yield between


@pytest.fixture
def node(nats, wan):
    """Serves next to NATS, and connects from afar."""
    with node_of(SplitTransport(nats.url, f"nats://{wan.address}"), "nats:syd") as made:
        yield made


def fastest(work):
    """The seconds that the work takes when nothing else holds it up."""

    def seconds():
        watch = Stopwatch()
        work()
        return watch.seconds

    return min(seconds() for _ in range(5))


def test_an_exchange_takes_one_round_trip(node, wan):
    channel = node.serve().connect()
    ask(channel, b"first")
    wan.rtt = RTT
    assert RTT <= fastest(lambda: ask(channel, b"next")) < 2 * RTT


def test_a_channel_is_opened_in_one_round_trip_more(node, wan):
    ask(node.serve().connect(), b"first")
    wan.rtt = RTT
    assert RTT <= fastest(node.connect) < 2 * RTT
    assert ask(node.connect(), b"hello") == b"hello"


@pytest.mark.slow
def test_who_is_farther_away_than_nodes_are_waited_for_connects_nevertheless(node, wan):
    ask(node.serve().connect(), b"first")
    wan.rtt = 1.0
    channel = node.connect()
    assert ask(channel, b"hello") == b"hello"
    assert len(node.responders) > 2, "more than one node was to be asked"
    until(lambda: sum(not responder.gone_calls for responder in node.responders) == 2)


def test_a_long_message_takes_a_round_trip_for_each_window(node, wan):
    channel = node.serve().connect()
    wan.rtt = RTT
    message = bytes(4 * WINDOW_BYTES)
    watch = Stopwatch()
    assert ask(channel, message, 30) == message
    assert watch.seconds < 2 * (2 * 4 + 2) * RTT + SLACK


def test_a_connection_that_is_cut_leaves_the_outcome_unknown_at_once(node, wan):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"write", soon(30))
    assert held.started.wait(SOON)
    watch = Stopwatch()
    wan.cut()
    with pytest.raises(OutcomeUnknown, match="connection to NATS was lost"):
        result(pending)
    assert watch.seconds < SLACK
    node.gone(2 * HEARTBEAT_INTERVAL + SLACK)
    with pytest.raises(NotDelivered):
        ask(channel, b"next")
    with pytest.raises(NotDelivered):
        node.connect()
    wan.heal()
    held.released.set()
    assert ask(node.connect(), b"again") == b"late again"


@pytest.mark.slow
def test_a_network_that_swallows_everything_is_noticed_by_both_ends(node, wan):
    held = Held()
    channel = node.serve(held).connect()
    pending = in_thread(channel.exchange, b"write", soon(60))
    assert held.started.wait(SOON)
    wan.deaf()
    watch = Stopwatch()
    node.gone(SILENCE_TIMEOUT + 2 * HEARTBEAT_INTERVAL + SLACK)
    with pytest.raises(OutcomeUnknown):
        result(pending, 30)
    assert watch.seconds < max(SILENCE_TIMEOUT + 2 * HEARTBEAT_INTERVAL, 3 * PING_INTERVAL) + SLACK


def test_a_deadline_is_kept_though_nothing_comes_through(node, wan):
    channel = node.serve().connect()
    ask(channel, b"before")
    wan.deaf()
    watch = Stopwatch()
    with pytest.raises(OutcomeUnknown, match=r"0\.5 s"):
        channel.exchange(b"write", Deadline.after(0.5))
    with pytest.raises(NotDelivered):
        node.transport.connect("nats:syd", Deadline.after(0.5))
    assert 1 <= watch.seconds < 1 + SLACK
    assert node.requests == [b"before"]


def test_a_request_that_has_not_left_when_its_time_is_over_is_not_delivered(node, wan):
    """The last part of a long message waits for its first ones to be acknowledged, which never happens."""
    channel = node.serve().connect()
    ask(channel, b"before")
    wan.deaf()
    with pytest.raises(NotDelivered, match=r"timed out .*0\.5 s"):
        channel.exchange(bytes(2 * WINDOW_BYTES), Deadline.after(0.5))
    assert node.requests == [b"before"]


@pytest.mark.slow
def test_a_network_that_takes_nothing_holds_nobody_up(node, wan):
    node.serve()
    channels = [node.connect() for _ in range(40)]
    wan.stall()
    pending = [in_thread(channel.exchange, bytes(WINDOW_BYTES), Deadline.after(1)) for channel in channels]
    with pytest.raises(NotDelivered):
        node.transport.connect("nats:syd", Deadline.after(0.5))
    for future in pending:
        with pytest.raises((NotDelivered, OutcomeUnknown)):
            result(future, 1 + SLACK)
    assert node.requests == []
    until(lambda: node.transport._connecting._shared._current.ended, 3 * PING_INTERVAL + SLACK)


@pytest.mark.parametrize(
    ("fault", "executed"),
    [("cut_before_request", []), ("cut_after_request", [b"write"]), ("cut_before_reply", [b"write"])],
)
def test_what_is_lost_with_the_connection_is_not_sent_again(node, wan, fault, executed, monkeypatch):
    monkeypatch.setattr("fly_orm_nats.connection.HEARTBEAT_INTERVAL", 60)  # or a heartbeat might be what is cut
    channel = node.serve().connect()
    fired = getattr(wan, fault)()
    with pytest.raises((OutcomeUnknown, NotDelivered)) as caught:
        ask(channel, b"write", 10)
    assert fired.wait(SOON)
    if executed:
        assert caught.type is OutcomeUnknown
        until(lambda: node.requests)
    assert ask(node.connect(), b"again") == b"again"
    assert node.requests == [*executed, b"again"]
