"""A forked process leaves its parent's channels alone, and opens its own."""

from __future__ import annotations

import gc

import pytest

from fly_orm.errors import NotDelivered
from fly_orm.transport import Channel

from .setting import Setting
from .tools import HELD_TIMEOUT, SOON, Held, Node, ask, in_child, in_thread, node_of, result, soon


class Forks(Setting):
    """What holds in forked processes, such as gunicorn's workers."""

    def test_a_child_that_closes_a_channel_leaves_it_to_the_parent(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"before")
        in_child(channel.close)
        assert ask(channel, b"after") == b"after"
        assert (node.responder.requests, node.responder.gone_calls) == ([b"before", b"after"], 0)

    def test_a_child_that_ends_leaves_the_channel_to_the_parent(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"before")
        in_child(lambda: None)
        assert ask(channel, b"after") == b"after"
        assert node.responder.gone_calls == 0

    def test_a_child_that_drops_a_channel_leaves_it_to_the_parent(self, node: Node) -> None:
        node.serve()
        channels = [node.transport.connect(node.server.address, soon())]
        ask(channels[0], b"before")

        def child() -> None:
            channels.clear()
            gc.collect()

        in_child(child)
        assert ask(channels[0], b"after") == b"after"
        assert node.responder.gone_calls == 0
        channels[0].close()

    def test_a_child_cannot_use_the_channel_itself(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"before")
        in_child(lambda: self._fail_to_use(channel))
        assert ask(channel, b"after") == b"after"
        assert node.requests == [b"before", b"after"]

    @staticmethod
    def _fail_to_use(channel: Channel) -> None:
        with pytest.raises(NotDelivered):
            channel.exchange(b"child", soon())

    def test_a_child_forked_during_an_exchange_does_not_disturb_it(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        pending = in_thread(channel.exchange, b"write", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        in_child(channel.close)
        held.released.set()
        assert result(pending) == b"late write"

    def test_a_child_may_connect_itself(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"before")
        in_child(lambda: self._use_its_own(node))
        assert ask(channel, b"after") == b"after"

    def _use_its_own(self, node: Node) -> None:
        """Connect to the parent's server, or to one of its own if the transport stays within the process."""
        if self.crosses_processes:
            channel = self.new_transport().connect(node.server.address, soon())
            assert channel.exchange(b"child", soon()) == b"child"
            channel.close()
        else:
            with node_of(self.new_transport(), node.listen) as own:
                assert ask(own.serve().connect(), b"child") == b"child"
