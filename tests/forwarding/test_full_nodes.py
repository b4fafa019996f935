"""A node that has no place for another channel: others are tried, and then it is, for as long as there is time."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from fly_orm import NoChannel
from fly_orm.deadline import Deadline
from fly_orm.forwarding.channels import READY_CHANNELS, NodeChannels
from fly_orm.protocol import reasons
from fly_orm.protocol.encoding import encode
from fly_orm.protocol.handshake import GuardedResponder
from fly_orm.protocol.messages import Declined, Welcome
from fly_orm.protocol.secret import Secrets
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import soon, until
from fly_orm.topology import Node
from fly_orm_transports.pyro5 import Pyro5Transport, connection_table
from tests.forwarding.nodes import Listed
from tests.forwarding.test_trying_nodes import Script, forwarding  # noqa: F401
from tests.support.two_regions import SECRET

FULL_NODE = NoChannel("full", full=True)

pytestmark = pytest.mark.usefixtures("threads")


class Welcoming:
    """Welcomes whoever greets it."""

    is_idle = True

    def respond(self, request):
        return encode(Welcome(region="syd", databases=[]))

    def last_reply(self, *, is_full=False):
        return encode(Declined(reason=reasons.FULL if is_full else reasons.DRAINING, message=""))

    def gone(self):
        pass


@pytest.fixture
def crowded():
    """Makes channels to a node that has places for only so many."""
    closers = []

    def make(places, **options):
        transport = Pyro5Transport(Settings(transport_options={"max_connections": str(places)}))
        server = transport.serve("127.0.0.1:0", lambda peer: GuardedResponder(Secrets(SECRET), Welcoming()))
        closers.append(lambda: server.close(0))

        def channels():
            node = Node(region="syd", address=server.address)
            return NodeChannels(transport, node, secrets=Secrets(SECRET), region="lax", max_size=8, **options)

        return channels

    yield make
    for close in closers:
        close()


def test_a_process_without_a_channel_is_told_that_the_node_is_full(crowded, monkeypatch):
    monkeypatch.setattr(connection_table, "IDLE_TIME", 1000.0)
    make = crowded(1)
    with closing(make()) as one, closing(make()) as other:
        channel = one.acquire(soon())
        with pytest.raises(NoChannel, match="has no place for another channel"):
            other.acquire(soon())
        one.discard(channel)


def test_a_process_with_a_channel_waits_for_that(crowded, monkeypatch):
    monkeypatch.setattr(connection_table, "IDLE_TIME", 1000.0)
    with closing(crowded(1)()) as channels:
        channel = channels.acquire(soon())
        got = []
        thread = threading.Thread(target=lambda: got.append(channels.acquire(Deadline.after(60))))
        thread.start()
        until(lambda: channels._pool._waiting)
        channels.release(channel)
        thread.join()
        assert got == [channel]
        channels.release(channel)


def test_idle_channels_are_closed_except_for_a_few(crowded):
    with closing(crowded(8, idle_timeout=0.05)()) as channels:
        for channel in [channels.acquire(soon()) for _ in range(6)]:
            channels.release(channel)
        until(lambda: channels._pool.size == READY_CHANNELS)


def test_a_request_goes_to_another_node_or_waits_for_a_place(forwarding):  # noqa: F811
    forwarder = forwarding(Listed("a", "b"))
    script = Script(a=[FULL_NODE] * 9, b=[FULL_NODE, FULL_NODE, "done"])
    assert forwarder.try_nodes("syd", Deadline.after(60), script) == "done"
    assert script.tried.count("b") == 3
    assert not forwarder.directory.quarantined


def test_a_request_for_the_primary_waits_for_a_place_too(forwarding):  # noqa: F811
    forwarder = forwarding(Listed("a"))
    script = Script(a=[FULL_NODE, FULL_NODE, "done"])
    assert forwarder.try_primary(None, Deadline.after(60), script, last_resort=False) == "done"


def test_a_request_gives_up_when_its_time_is_over(forwarding):  # noqa: F811
    forwarder = forwarding(Listed("a"))
    with pytest.raises(NoChannel):
        forwarder.try_nodes("syd", Deadline.after(0.3), Script(a=[FULL_NODE] * 99))
