"""Each request gets its own reply, always from the same process."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fly_orm.errors import ConfigurationError
from fly_orm.transport import MAX_MESSAGE_BYTES

from .setting import Setting
from .tools import SOON, Node, Recorder, ask, soon, within

#: Channels in use at the same time.
CHANNELS = 40


class Exchanges(Setting):
    """What happens when nothing goes wrong."""

    @pytest.mark.parametrize("size", [0, 1, 300, 1_000_000, MAX_MESSAGE_BYTES])
    def test_a_reply_is_the_responders_bytes_at_any_allowed_size(self, node: Node, size: int) -> None:
        message = os.urandom(1000) * (size // 1000) + b"x" * (size % 1000)
        reply = ask(node.serve().connect(), message, 4 * SOON)
        assert type(reply) is bytes
        assert len(reply) == size
        assert reply == message
        assert [type(request) for request in node.requests] == [bytes]

    def test_empty_and_large_messages_may_follow_each_other(self, node: Node) -> None:
        channel = node.serve(lambda request: request * 1000).connect()
        for request in (b"", b"x" * 10_000, b"", b"y"):
            assert ask(channel, request, 4 * SOON) == request * 1000

    def test_every_exchange_of_a_channel_reaches_its_own_responder_in_order(self, node: Node) -> None:
        node.serve()
        channels = [node.connect() for _ in range(3)]
        for number in range(4):
            for index, channel in enumerate(channels):
                ask(channel, b"%d %d" % (index, number))
        assert [r.requests for r in node.responders] == [[b"%d %d" % (i, n) for n in range(4)] for i in range(3)]

    def test_many_channels_are_answered_at_once(self, node: Node) -> None:
        together = threading.Barrier(CHANNELS)

        def answer(request: bytes) -> bytes:
            together.wait(SOON)
            return request[::-1]

        node.serve(answer)
        requests = [b"request %d" % number for number in range(CHANNELS)]
        with ThreadPoolExecutor(CHANNELS) as pool:
            replies = list(pool.map(lambda request: ask(node.connect(), request, 2 * SOON), requests))
        assert replies == [request[::-1] for request in requests]

    def test_a_channel_may_move_between_threads(self, node: Node) -> None:
        channel = node.serve().connect()
        for number in range(5):
            request = b"%d" % number
            assert ask(channel, request) == request  # each time on another thread
        assert channel.exchange(b"here", soon()) == b"here"

    def test_the_responder_is_told_who_the_peer_is(self, node: Node) -> None:
        ask(node.serve().connect(), b"hello")
        assert node.responder.peer

    def test_another_instance_of_the_transport_reaches_the_server(self, node: Node) -> None:
        node.serve()
        channel = within(SOON, self.new_transport().connect, node.server.address, soon())
        assert ask(channel, b"hello") == b"hello"
        channel.close()

    def test_a_malformed_address_is_a_configuration_error(self, node: Node) -> None:
        for address in self.malformed_addresses:
            with pytest.raises(ConfigurationError):
                node.transport.connect(address, soon())
            with pytest.raises(ConfigurationError):
                node.transport.serve(address, Recorder)

    def test_an_address_that_others_can_connect_to_is_not_local(self, node: Node) -> None:
        assert node.transport.is_local(node.serve().server.address) in (True, False)
        named = self.remote_addresses or not self.crosses_processes
        assert named, "list in remote_addresses some addresses that other machines may be able to connect to"
        for address in self.remote_addresses:
            assert node.transport.is_local(address) is False, address

    def test_an_address_is_served_once(self, node: Node) -> None:
        if self.shares_addresses:
            pytest.skip("several servers may have one address")
        address = node.serve().server.address
        with pytest.raises(ConfigurationError):
            node.transport.serve(address, Recorder).close(0)

    def test_an_address_is_free_again_after_close(self, node: Node) -> None:
        address = node.serve().server.address
        ask(node.connect(), b"one")
        node.server.close(0)
        assert ask(node.serve(listen=address).connect(), b"two") == b"two"
        assert node.server.address == address

    def test_a_channel_does_not_reach_the_server_that_came_after_its_own(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"one")
        node.server.close(0)
        node.serve(listen=node.server.address)
        with pytest.raises(self.undelivered):
            ask(channel, b"two")
        assert node.requests == [b"one"]
