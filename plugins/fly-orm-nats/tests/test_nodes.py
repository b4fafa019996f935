"""The nodes of a name share its channels, and one that hangs or has died is left out."""

import os
import signal
import threading

import pytest
from fly_orm_nats import NatsTransport
from fly_orm_nats.peers import HEARTBEAT_INTERVAL, SILENCE_TIMEOUT
from stopwatch import Stopwatch

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.settings import Settings
from fly_orm.testing.contract.outcomes import Interrupted, interrupted_when
from fly_orm.testing.contract.processes import Processes
from fly_orm.testing.contract.tools import SOON, Held, ask, in_child, in_thread, node_of, result, soon, until
from fly_orm.testing.peer import HOLD
from tests.support.processes import script, stopped

#: Enough for a busy machine.
SLACK = 10.0


@pytest.fixture
def processes():
    started = Processes(NatsTransport, "nats:syd")
    yield started
    started.close()


@pytest.fixture
def node():
    with node_of(NatsTransport(), "nats:syd") as made:
        yield made


def who(channel):
    return int(ask(channel, b"who?"))


@pytest.mark.slow
def test_channels_are_spread_over_the_nodes_of_a_name(node, processes):
    pids = [processes.serve().pid for _ in range(2)]
    counted = [who(node.connect("nats:syd")) for _ in range(64)]
    # Of 64 throws of a coin fewer than 14 heads come up once in 200,000 runs.
    assert set(counted) == set(pids)
    assert min(counted.count(pid) for pid in pids) >= 14


def test_a_channel_is_opened_at_one_node_only(node):
    others = [node_of(NatsTransport(), "nats:syd") for _ in range(2)]
    with others[0] as one, others[1] as other:
        one.serve()
        other.serve()
        for _ in range(20):
            ask(node.connect("nats:syd"), b"hello")
        assert len(one.responders) + len(other.responders) == 20


def test_new_channels_go_to_the_living_node(node, processes):
    dead, alive = processes.serve(), processes.serve()
    dead.kill()
    assert {who(node.connect("nats:syd")) for _ in range(20)} == {alive.pid}


@pytest.mark.slow
def test_a_node_that_hangs_keeps_nobody_from_the_others(node, processes):
    hanging, alive = processes.serve(), processes.serve()
    with stopped(hanging.pid):
        # NATS goes on picking the one that hangs, half of the time.
        channels = [in_thread(node.transport.connect, "nats:syd", soon(20)) for _ in range(8)]
        opened = [result(channel, 25) for channel in channels]
        assert {who(channel) for channel in opened} == {alive.pid}
    for channel in opened:
        channel.close()


def test_one_node_can_be_asked_for(node, processes):
    processes.serve()
    node.serve()
    address = f"nats:syd@{node.server._id}"
    assert all(ask(node.connect(address), b"here") == b"here" for _ in range(8))


@pytest.mark.slow
@pytest.mark.parametrize("busy", [True, False])
def test_the_death_of_a_node_is_noticed_before_its_silence_is(node, processes, busy, monkeypatch):
    monkeypatch.setattr("fly_orm_nats.peers.SILENCE_TIMEOUT", 1000.0)
    other = processes.serve()
    channel = node.connect("nats:syd")
    pending = in_thread(channel.exchange, HOLD, soon(30)) if busy else None
    if busy:
        assert other.says() == "holding"
    other.kill()
    if pending:
        with pytest.raises(OutcomeUnknown, match="has ended"):
            result(pending)
    else:
        until(lambda: channel._end.closed_because)
        with pytest.raises(NotDelivered):
            ask(channel, b"write")


def test_a_request_to_a_node_that_died_just_now_is_known_not_to_be_delivered(node, processes, monkeypatch):
    """NATS says at once that nobody is there, before any heartbeat does."""
    monkeypatch.setattr("fly_orm_nats.connection.HEARTBEAT_INTERVAL", 60)
    other = processes.serve()
    channel = node.connect("nats:syd")
    who(channel)
    other.kill()
    watch = Stopwatch()
    with pytest.raises((NotDelivered, OutcomeUnknown)) as caught:
        while True:  # until NATS has noticed that the connection has ended
            ask(channel, b"who?", 5)
    assert caught.type is NotDelivered
    assert watch.seconds < SLACK


@pytest.mark.slow
@pytest.mark.parametrize("request_of_it", ["", "hold"])
def test_a_caller_that_hangs_is_given_up(node, processes, request_of_it):
    held = Held()
    node.serve(held)
    caller = processes.connect("nats:syd", request_of_it)
    if request_of_it:
        assert held.started.wait(SOON)
    until(lambda: node.responders)
    watch = Stopwatch()
    with stopped(caller.pid):
        node.gone(SILENCE_TIMEOUT + 2 * HEARTBEAT_INTERVAL + SLACK)
        assert watch.seconds > HEARTBEAT_INTERVAL


def test_an_interrupted_connect_leaves_nothing_behind(node, processes):
    hanging, asking = processes.serve(), threading.Event()
    ask(node.connect("nats:syd"), b"who?")
    connection = node.transport._shared._current

    def watch():
        until(lambda: connection.reply_handlers)
        asking.set()

    with stopped(hanging.pid), pytest.raises(Interrupted), interrupted_when(asking):
        in_thread(watch)
        node.transport.connect("nats:syd", soon(20))
    until(lambda: not connection.reply_handlers)
    node.close()
    until(lambda: not connection.peers, complaint=lambda: connection.peers._peers)


@pytest.mark.slow
def test_the_death_of_a_caller_is_noticed_before_its_silence_is(node, processes, monkeypatch):
    monkeypatch.setattr("fly_orm_nats.peers.SILENCE_TIMEOUT", 1000.0)
    node.serve()
    caller = processes.connect("nats:syd")
    until(lambda: node.responders)
    caller.kill()
    node.gone(SOON)


FORKING = """
import os, sys
from fly_orm.deadline import Deadline
from fly_orm_nats import NatsTransport
channel = NatsTransport().connect("nats:syd", Deadline.after(10))
if child := os.fork():
    print(child, flush=True)
sys.stdin.read()
"""


def test_a_forked_process_does_not_hide_the_death_of_its_parent(node, monkeypatch):
    monkeypatch.setattr("fly_orm_nats.peers.SILENCE_TIMEOUT", 1000.0)
    node.serve()
    with script(FORKING) as caller:
        until(lambda: node.responders)
        child = int(caller.stdout.readline())
        try:
            assert node.responder.gone_calls == 0
            caller.kill()
            node.gone(SOON)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_process_uses_the_same_transport_over_a_connection_of_its_own(node):
    node.serve()
    ask(node.connect(), b"before")

    def child():
        assert ask(node.connect("nats:syd"), b"child") == b"child"

    in_child(child)
    assert ask(node.connect(), b"after") == b"after"
    until(lambda: [responder.gone_calls for responder in node.responders] == [0, 1, 0])


def limited(**limits):
    return NatsTransport(Settings(transport_options=limits))


def test_strangers_cannot_keep_others_out(node):
    node.transport = limited(max_strangers="3")
    node.serve(trusted=False)
    channels = [node.connect() for _ in range(8)]
    until(lambda: sum(responder.gone_calls for responder in node.responders) == 5)
    assert ask(channels[-1], b"honest") == b"honest"


def test_who_has_all_the_channels_it_may_have_says_so(node):
    node.transport = limited(max_channels="2", max_strangers="2")
    node.serve()
    channels = [node.connect() for _ in range(2)]
    with pytest.raises(NotDelivered, match="declined: it has all the channels"):
        node.transport.connect("nats:syd", soon())
    channels[0].close()
    until(lambda: len(node.server._channels) < 2)
    assert ask(node.connect(), b"room") == b"room"


def test_many_channels_are_used_at_once(node):
    node.serve()
    channels = [node.connect() for _ in range(128)]
    pending = [[in_thread(channel.exchange, b"%d" % n, soon(20))] for n, channel in enumerate(channels)]
    assert [result(future, 20) for [future] in pending] == [b"%d" % n for n in range(128)]
