"""Closing, on either side: what becomes of requests in progress, and who is told."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import Channel

from .setting import Setting
from .tools import HELD_TIMEOUT, LAST_REPLY, SOON, Held, Node, ask, goes_on, in_thread, result, soon, until, within


class Endings(Setting):
    """What holds once a channel or a server is closed."""

    def test_closing_a_channel_reports_the_peer_gone_once(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"hello")
        assert node.responder.gone_calls == 0
        channel.close()
        channel.close()
        node.gone(self.notice_timeout)
        node.server.close(0)
        assert node.responder.gone_calls == 1

    def test_a_closed_channel_delivers_nothing(self, node: Node) -> None:
        channel = node.serve().connect()
        channel.close()
        with pytest.raises(NotDelivered):
            ask(channel, b"write")
        node.server.close(SOON)
        assert node.requests == []

    def test_closing_a_channel_leaves_the_others_open(self, node: Node) -> None:
        node.serve()
        one, other = node.connect(), node.connect()
        ask(one, b"one")
        ask(other, b"one")
        one.close()
        until(lambda: node.responders[0].gone_calls, self.notice_timeout)
        assert ask(other, b"two") == b"two"
        assert node.responders[1].gone_calls == 0

    def test_closing_a_channel_ends_the_exchange_of_another_thread(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        pending = in_thread(channel.exchange, b"write", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        within(SOON, channel.close)
        with pytest.raises(OutcomeUnknown):
            result(pending)

    def test_close_lets_the_request_being_answered_finish_and_delivers_its_reply(self, node: Node) -> None:
        held = Held()
        busy = node.serve(held).connect()
        pending = in_thread(busy.exchange, b"write", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        closing = in_thread(node.server.close, HELD_TIMEOUT)
        self._until_nobody_can_connect(node)
        assert goes_on(closing), "close returned while a request was being answered"
        assert goes_on(pending), "the request being answered was given up"
        held.released.set()
        assert result(pending) == b"late write"
        result(closing)
        assert [r.gone_calls for r in node.responders if r.requests] == [1]
        with pytest.raises(self.undelivered):
            ask(busy, b"next")

    def test_a_server_that_is_closing_takes_no_further_request(self, node: Node) -> None:
        held = Held()
        node.serve(held)
        busy, idle = node.connect(), node.connect()
        pending = in_thread(busy.exchange, b"write", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        closing = in_thread(node.server.close, HELD_TIMEOUT)
        self._until_nobody_can_connect(node)
        with pytest.raises(self.undelivered):
            ask(idle, b"new")
        held.released.set()
        result(pending)
        result(closing)
        assert node.requests == [b"write"]

    def test_close_waits_no_longer_than_the_drain_timeout(self, node: Node) -> None:
        held = Held()
        channel = node.serve(held).connect()
        pending = in_thread(channel.exchange, b"write", soon(HELD_TIMEOUT))
        assert held.started.wait(SOON)
        began = time.monotonic()
        closing = in_thread(node.server.close, 0.2)
        with pytest.raises(OutcomeUnknown):
            result(pending, self.notice_timeout)
        assert time.monotonic() - began >= 0.2
        result(closing)
        assert (node.responder.gone_calls, node.responder.replied) == (1, 0)

    def test_every_responder_has_been_told_when_close_returns(self, node: Node) -> None:
        node.serve()
        for channel in [node.connect() for _ in range(10)]:
            ask(channel, b"hello")
        within(2 * SOON, node.server.close, 0)
        assert [r.gone_calls for r in node.responders] == [1] * 10
        within(SOON, node.server.close, 0)
        assert [r.gone_calls for r in node.responders] == [1] * 10

    def test_a_closed_server_ends_the_channels(self, node: Node) -> None:
        channel = node.serve().connect()
        ask(channel, b"hello")
        node.server.close(0)
        with pytest.raises(self.undelivered):
            ask(channel, b"write")
        with pytest.raises(NotDelivered):
            ask(channel, b"next")
        assert node.requests == [b"hello"]

    def test_a_request_that_crosses_the_end_of_its_channel_is_known_not_to_be_executed(self, node: Node) -> None:
        node.serve()
        channels = [node.connect() for _ in range(30)]
        for channel in channels:
            ask(channel, b"hello")
        callers = [in_thread(_ask_until_declined, channel) for channel in channels]
        until(lambda: len(node.requests) > 300)
        within(HELD_TIMEOUT, node.server.close, HELD_TIMEOUT)
        assert sum(result(each) for each in callers) + len(channels) == len(node.requests)

    @staticmethod
    def _until_nobody_can_connect(node: Node) -> None:
        with pytest.raises(NotDelivered):
            until(lambda: node.connect().close())


def _ask_until_declined(channel: Channel) -> int:
    """How many requests were answered before one was not executed."""
    answered = 0
    with suppress(NotDelivered):
        while channel.exchange(b"write", soon(HELD_TIMEOUT)) != LAST_REPLY:
            answered += 1
    channel.close()
    return answered
