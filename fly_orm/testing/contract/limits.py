"""Messages that are too long, and what strangers may do."""

from __future__ import annotations

import pytest

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, STRANGER_MAX_MESSAGE_BYTES, STRANGER_TIMEOUT

from .setting import Setting
from .tools import SOON, Node, ask, until


class Limits(Setting):
    """What no peer may exceed."""

    def test_a_request_over_the_limit_is_not_delivered(self, node: Node) -> None:
        channel = node.serve().connect()
        with pytest.raises(NotDelivered):
            ask(channel, b"x" * (MAX_MESSAGE_BYTES + 1), 4 * SOON)
        node.server.close(SOON)
        assert node.requests == []

    def test_a_reply_over_the_limit_leaves_the_outcome_unknown(self, node: Node) -> None:
        channel = node.serve(lambda request: b"x" * (MAX_MESSAGE_BYTES + 1)).connect()
        with pytest.raises(OutcomeUnknown):
            ask(channel, b"write", 4 * SOON)
        assert node.requests == [b"write"]

    def test_a_stranger_may_send_little(self, node: Node) -> None:
        channel = node.serve(trusted=False).connect()
        assert ask(channel, b"x" * STRANGER_MAX_MESSAGE_BYTES) == b"x" * STRANGER_MAX_MESSAGE_BYTES

    def test_a_stranger_who_sends_more_is_dropped_and_not_answered(self, node: Node) -> None:
        channel = node.serve(trusted=False).connect()
        ask(channel, b"little")
        with pytest.raises(self.undelivered):
            ask(channel, b"x" * (STRANGER_MAX_MESSAGE_BYTES + 1), 4 * SOON)
        node.gone(self.notice_timeout)
        assert node.requests == [b"little"]

    def test_a_stranger_who_becomes_trusted_may_send_much(self, node: Node) -> None:
        channel = node.serve(trusted=False).connect()
        ask(channel, b"hello")
        node.responder.trusted = True
        ask(channel, b"proof")
        assert ask(channel, b"x" * 100_000) == b"x" * 100_000

    def test_a_stranger_is_disconnected_after_a_while_and_a_trusted_peer_is_not(self, node: Node) -> None:
        if not self.crosses_processes:
            pytest.skip("the transport stays within one process, where there are no strangers")
        node.serve(trusted=False)
        trusted, stranger = node.connect(), node.connect()
        ask(trusted, b"hello")
        node.responders[0].trusted = True
        ask(trusted, b"proof")
        ask(stranger, b"hello")
        silent = node.connect()
        until(
            lambda: [each.gone_calls for each in node.responders] == [0, 1, 1], STRANGER_TIMEOUT + self.notice_timeout
        )
        for each in (stranger, silent):
            with pytest.raises(self.undelivered):
                ask(each, b"late")
        assert ask(trusted, b"on") == b"on"
