"""A peer that was given up, and has only hung, learns that its channels are over."""

import pytest
from fly_orm_nats import NatsTransport
from fly_orm_nats.connection import NatsConnection
from fly_orm_nats.frames import Frame, Kind
from fly_orm_nats.incoming import Incoming
from fly_orm_nats.peers import HEARTBEAT_INTERVAL, SILENCE_TIMEOUT, Peers
from nats.aio.msg import Msg

from fly_orm.testing.contract.tools import ask, node_of, until, within
from tests.support.processes import script, stopped

CHANNEL = b"channel "

NODE = """
import sys
from fly_orm_nats import NatsTransport
class Responder:
    trusted = True
    def respond(self, request):
        self.request = request
        return request
    def last_reply(self, *, is_full=False):
        return None
    def gone(self):
        print(self.request.decode(), "is gone", flush=True)
server = NatsTransport().serve("nats:syd", lambda peer: Responder())
print("serving", flush=True)
sys.stdin.read()
"""


class End:
    reason = ""

    def end(self, reason):
        self.reason = reason


@pytest.fixture
def sent():
    return []


@pytest.fixture
def peers(sent):
    return Peers(lambda peer, frame: sent.append((peer, frame)))


@pytest.fixture
def caller():
    with node_of(NatsTransport(), "nats:syd") as made:
        yield made


@pytest.mark.slow
def test_a_node_that_has_hung_lets_go_of_a_channel_though_its_caller_opens_another(caller):
    with script(NODE) as node:
        assert node.stdout.readline() == "serving\n"
        first = caller.connect("nats:syd")
        ask(first, b"first")
        with stopped(node.pid):
            until(lambda: first._end.closed_because, SILENCE_TIMEOUT + 4 * HEARTBEAT_INTERVAL + 10)
        second = caller.connect("nats:syd")
        ask(second, b"second")
        assert within(5, node.stdout.readline) == "first is gone\n"
        assert ask(second, b"second") == b"second"


@pytest.mark.parametrize(("at_node", "kind"), [(True, Kind.CLOSED_BY_NODE), (False, Kind.CLOSED_BY_CALLER)])
def test_who_is_given_up_is_told(peers, sent, at_node, kind):
    end = End()
    peers.attach("peer", at_node, CHANNEL, end)
    peers.lose("peer", "silence")
    assert end.reason == "silence"
    assert sent == [("peer", Frame(kind, CHANNEL))]
    assert not peers


def test_a_connection_that_has_ended_sends_nothing():
    connection, end = NatsConnection(None), End()
    connection._loop.close()  # as it is in the end: a task could not be created any more
    connection.ended = True
    connection.peers.attach("peer", True, CHANNEL, end)
    connection.peers.lose_all("it was lost")
    assert end.reason == "it was lost"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.REQUEST, Kind.NO_CHANNEL),
        (Kind.REPLY_ACK, Kind.CLOSED_BY_NODE),
        (Kind.REPLY, Kind.CLOSED_BY_CALLER),
        (Kind.REQUEST_ACK, Kind.CLOSED_BY_CALLER),
        (Kind.CLOSED_BY_NODE, None),
        (Kind.CLOSED_BY_CALLER, None),
        (Kind.NO_CHANNEL, None),
        (Kind.ALIVE, None),
    ],
)
def test_what_comes_for_a_channel_that_is_not_known_is_answered_unless_it_ends_it(peers, sent, kind, answer):
    incoming = Incoming(peers, {}, lambda peer, frame: sent.append((peer, frame)))
    coming = incoming.receive(Msg(None, "fly_orm.to.me.peer", data=Frame(kind, CHANNEL, 1).encode()))
    with pytest.raises(StopIteration):
        coming.send(None)
    assert [(peer, frame.kind, frame.channel) for peer, frame in sent] == (
        [("peer", answer, CHANNEL)] if answer else []
    )
