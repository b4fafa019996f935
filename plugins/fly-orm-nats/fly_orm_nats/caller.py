"""The connecting side: the caller's end of a channel, and the channel that its threads use."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress

from fly_orm.errors import NotDelivered, OutcomeUnknown
from fly_orm.transport import MAX_MESSAGE_BYTES, Deadline

from .exchange import Exchange
from .frames import Assembly, Broken, Frame, Kind
from .link import Link, LinkDown
from .sending import Sending


class CallerEnd:
    """The caller's end of a channel. For the link's thread only, but for ``over``."""

    def __init__(self, link: Link, peer: str, channel: bytes) -> None:
        self.over = ""
        """Why the channel is of no further use, if so."""
        self._link, self._peer, self._channel = link, peer, channel
        self._seq = 0
        self._assembly = Assembly()
        self._exchange: Exchange | None = None
        self._sending: Sending | None = None
        self._task: asyncio.Task[None] | None = None
        link.peers.attach(peer, False, channel, self)

    def start(self, exchange: Exchange, request: bytes) -> None:
        """The request is on its way."""
        if self.over:
            exchange.fail(self.over)
            return
        self._seq += 1
        self._exchange = exchange
        self._sending = Sending(self._link, self._peer, Kind.REQUEST, self._channel, self._seq, request)
        self._task = self._link.spawn(self._send, self._sending, exchange)

    async def _send(self, sending: Sending, exchange: Exchange) -> None:
        try:
            await sending.run(exchange.may_finish)
        except LinkDown as error:
            exchange.fail(f"it could not be sent: {error}", undelivered=True)

    def take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.REPLY:
                self._take_reply(frame)
            case Kind.REQUEST_ACK if self._sending is not None:
                self._sending.acknowledge(frame.seq, frame.total)
            case Kind.NO_CHANNEL:
                self.undelivered(frame.seq)
            case Kind.CLOSED_BY_NODE:
                self.lost("the node closed the channel")

    def _take_reply(self, frame: Frame) -> None:
        if frame.seq != self._seq or self._exchange is None:
            return
        try:
            reply = self._assembly.add(frame, MAX_MESSAGE_BYTES)
        except Broken as error:
            self.close(f"the reply cannot be taken: {error}")
            return
        if size := self._assembly.due():
            self._link.tell(self._peer, Frame(Kind.REPLY_ACK, self._channel, frame.seq, size))
        if reply is not None:
            self._exchange.succeed(reply)
            self._exchange = self._sending = None

    def undelivered(self, seq: int) -> None:
        if seq == self._seq and self._exchange is not None:
            self._exchange.fail("the node has ended or does not know the channel any more", undelivered=True)
        self.close("the node has ended or does not know the channel any more")

    def close(self, why: str) -> None:
        """The channel is over, and the node is told."""
        if not self.over:
            if not self._link.ended:
                self._link.tell(self._peer, Frame(Kind.CLOSED_BY_CALLER, self._channel))
            self.lost(why)

    def lost(self, why: str) -> None:
        self.over = self.over or why
        self._link.peers.detach(self._peer, False, self._channel)
        if self._task is not None:
            self._task.cancel()
        if self._sending is not None:
            self._sending.abandon()
        if self._exchange is not None:
            self._exchange.fail(why)


class NatsChannel:
    """A channel to one process of a node. See :class:`fly_orm.transport.Channel`."""

    def __init__(self, link: Link, end: CallerEnd, address: str) -> None:
        self._link, self._end, self._address = link, end, address
        self._pid = os.getpid()
        self._closed = False
        self._in_use = threading.Lock()
        self._exchange: Exchange | None = None

    def exchange(self, request: bytes, deadline: Deadline) -> bytes:
        """The reply, NotDelivered, or OutcomeUnknown; after any exception the channel is closed."""
        if self._forked:
            raise self._not_delivered("the channel belongs to the process that this one was forked from")
        if not self._in_use.acquire(blocking=False):
            raise self._not_delivered("the channel is in use by another caller")
        try:
            return self._run(request, deadline)
        except BaseException:
            self.close()
            raise
        finally:
            self._exchange = None
            self._in_use.release()

    def _run(self, request: bytes, deadline: Deadline) -> bytes:
        if problem := self._problem(request, deadline):
            raise self._not_delivered(problem)
        self._exchange = exchange = Exchange()
        try:
            self._link.post(self._end.start, exchange, request)
        except LinkDown as error:
            raise self._not_delivered(str(error)) from error
        exchange.wait(deadline)
        if exchange.reply is not None:
            return exchange.reply
        raise (self._outcome_unknown if exchange.executed else self._not_delivered)(exchange.problem)

    def _problem(self, request: bytes, deadline: Deadline) -> str | None:
        """Why the request cannot be sent, if so."""
        if self._closed:
            return "the channel is closed"
        if self._link.lost:
            return self._link.why or "the connection to NATS was lost"
        if len(request) > MAX_MESSAGE_BYTES:
            return f"it has {len(request)} bytes, and {MAX_MESSAGE_BYTES} are allowed"
        return f"no time was left of {deadline}" if deadline.expired else self._end.over or None

    def _not_delivered(self, problem: str) -> NotDelivered:
        return NotDelivered(f"the request was not sent to {self._address}: {problem}", address=self._address)

    def _outcome_unknown(self, problem: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the request was sent to {self._address} and may have executed, but no reply came: {problem}",
            address=self._address,
        )

    def close(self) -> None:
        """See :meth:`fly_orm.transport.Channel.close`. An exchange under way on another thread ends at once."""
        if self._closed or self._forked:
            return
        self._closed = True
        if (exchange := self._exchange) is not None:
            exchange.fail("the channel was closed")
        with suppress(LinkDown):
            self._link.post(self._end.close, "the channel was closed")

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid
