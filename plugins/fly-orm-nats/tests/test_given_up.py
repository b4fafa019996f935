"""A peer that was given up, and has only hung, learns that its channels are over."""

import pytest
from fly_orm_nats import NatsTransport
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
    def gone(self):
        print(self.request.decode(), "is gone", flush=True)
server = NatsTransport().serve("nats:syd", lambda peer: Responder())
print("serving", flush=True)
sys.stdin.read()
"""


class Link:
    """A link that only remembers what is told."""

    def __init__(self, *, ended=False):
        self.ended = ended
        self.answers = {}
        self.peers = Peers(self)
        self.told = []

    def tell(self, peer, frame):
        self.told.append((peer, frame))


class End:
    why = ""

    def lost(self, why):
        self.why = why


@pytest.fixture
def caller():
    with node_of(NatsTransport(), "nats:syd") as made:
        yield made


def test_a_node_that_has_hung_lets_go_of_a_channel_though_its_caller_opens_another(caller):
    with script(NODE) as node:
        assert node.stdout.readline() == "serving\n"
        first = caller.connect("nats:syd")
        ask(first, b"first")
        with stopped(node.pid):
            until(lambda: first._end.over, SILENCE_TIMEOUT + 4 * HEARTBEAT_INTERVAL)
        second = caller.connect("nats:syd")
        ask(second, b"second")
        assert within(5, node.stdout.readline) == "first is gone\n"
        assert ask(second, b"second") == b"second"


@pytest.mark.parametrize(("at_node", "kind"), [(True, Kind.CLOSED_BY_NODE), (False, Kind.CLOSED_BY_CALLER)])
def test_who_is_given_up_is_told(at_node, kind):
    link, end = Link(), End()
    link.peers.attach("peer", at_node, CHANNEL, end)
    link.peers.lose("peer", "silence")
    assert end.why == "silence"
    assert link.told == [("peer", Frame(kind, CHANNEL))]
    assert not link.peers


def test_who_has_no_connection_any_more_tells_nobody():
    link, end = Link(ended=True), End()
    link.peers.attach("peer", True, CHANNEL, end)
    link.peers.lose_all("it was lost")
    assert end.why
    assert link.told == []


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
def test_what_comes_for_a_channel_that_is_not_known_is_answered_unless_it_ends_it(kind, answer):
    link = Link()
    coming = Incoming(link).take(Msg(None, "fly_orm.to.me.peer", data=Frame(kind, CHANNEL, 1).encode()))
    with pytest.raises(StopIteration):
        coming.send(None)
    assert [(peer, frame.kind, frame.channel) for peer, frame in link.told] == (
        [("peer", answer, CHANNEL)] if answer else []
    )
