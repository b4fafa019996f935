"""A server that is closed, and what its channels see of it."""

import threading

import pytest
from fly_orm_nats import NatsTransport
from fly_orm_nats.frames import Kind

from fly_orm.errors import NotDelivered
from fly_orm.testing.contract.tools import ask, in_thread, node_of, result, soon, until
from tests.support.processes import script

LAST = """
import os, sys, time
from fly_orm_nats import NatsTransport
class Responder:
    trusted = True
    def respond(self, request):
        print("responding", flush=True)
        time.sleep(0.2)
        return bytes(int(request))
    def gone(self):
        pass
server = NatsTransport().serve("nats:syd", lambda peer: Responder())
print("serving", flush=True)
sys.stdin.readline()
server.close(10)
os._exit(0)
"""


@pytest.fixture
def node():
    with node_of(NatsTransport(), "nats:syd") as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_process_that_ends_once_its_server_is_closed_has_sent_its_last_reply(node, size):
    for _ in range(3):  # that it was lost was likely, not certain
        with script(LAST) as closing:
            assert closing.stdout.readline() == "serving\n"
            channel = node.connect("nats:syd")
            pending = in_thread(channel.exchange, b"%d" % size, soon(20))
            assert closing.stdout.readline() == "responding\n"
            closing.stdin.write("close\n")
            closing.stdin.flush()
            assert result(pending, 20) == bytes(size)
            assert closing.wait(10) == 0


def test_a_request_that_was_sent_while_its_idle_channel_was_closed_is_not_delivered(node, monkeypatch):
    channel = node.serve().connect()
    ask(channel, b"before")
    end, held, hear = channel._end, [], channel._end.receive

    def receive(frame):
        """Hear of the close late, and of nothing that the node says after that."""
        held.append(frame) if frame.kind in (Kind.CLOSED_BY_NODE, Kind.NO_CHANNEL) else hear(frame)

    monkeypatch.setattr(end, "receive", receive)
    node.server.close(0)
    until(lambda: held)
    pending = in_thread(channel.exchange, b"after", soon())
    until(lambda: channel._exchange is not None and channel._exchange.may_be_executed)
    channel._connection.call_soon(hear, held[0])
    assert isinstance(pending.exception(10), NotDelivered)


def test_whoever_is_declined_by_a_closing_server_finds_idle_channels_ended(node, monkeypatch):
    idle = node.serve().connect()
    ask(idle, b"before")
    going_on = threading.Event()
    monkeypatch.setattr(node.server._thread, "join", going_on.wait)
    closing = in_thread(node.server.close, 5)
    until(node.server._closing.is_set)
    assert ask(node.connect(), b"still there") == b"still there"
    going_on.set()
    result(closing)
    with pytest.raises(NotDelivered):
        node.connect()
    with pytest.raises(NotDelivered):
        ask(idle, b"after")
    assert node.requests == [b"before", b"still there"]
