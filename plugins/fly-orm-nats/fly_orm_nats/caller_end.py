"""The caller's end of a channel, in the thread of the connection."""

from __future__ import annotations

import asyncio

from fly_orm.transport import MAX_MESSAGE_BYTES

from .connection import ConnectionLost, NatsConnection
from .exchange import Exchange
from .frames import Assembly, Frame, Kind, MalformedMessage
from .outgoing import OutgoingMessage


class CallerEnd:
    """Sends requests and takes their replies. For the connection's thread only, except for ``closed_because``."""

    def __init__(self, connection: NatsConnection, peer: str, channel: bytes) -> None:
        self.closed_because = ""
        """Why the channel is closed; empty while it is open."""
        self._connection, self._peer, self._channel = connection, peer, channel
        self._seq = 0
        self._assembly = Assembly()
        self._exchange: Exchange | None = None
        self._request: OutgoingMessage | None = None
        self._task: asyncio.Task[None] | None = None
        connection.peers.attach(peer, False, channel, self)

    def start(self, exchange: Exchange, request: bytes) -> None:
        """Begin to send a request."""
        if self.closed_because:
            exchange.fail(self.closed_because)
            return
        self._seq += 1
        self._exchange = exchange
        self._request = OutgoingMessage(self._connection, self._peer, Kind.REQUEST, self._channel, self._seq, request)
        self._task = self._connection.create_task(self._send, self._request, exchange)

    async def _send(self, request: OutgoingMessage, exchange: Exchange) -> None:
        try:
            await request.send(exchange.may_finish)
        except ConnectionLost as error:
            exchange.fail(f"sending failed: {error}", undelivered=True)

    def receive(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.REPLY:
                self._receive_reply(frame)
            case Kind.REQUEST_ACK if self._request is not None:
                self._request.acknowledge(frame.seq, frame.total)
            case Kind.NO_CHANNEL:
                self.request_undelivered(frame.seq)
            case Kind.CLOSED_BY_NODE:
                self._closed_by_node(frame.seq)

    def _receive_reply(self, frame: Frame) -> None:
        if frame.seq != self._seq or self._exchange is None:
            return
        try:
            reply = self._assembly.add(frame, MAX_MESSAGE_BYTES)
        except MalformedMessage as error:
            self.close(f"the reply cannot be used: {error}")
            return
        if size := self._assembly.bytes_to_acknowledge():
            self._connection.send_soon(self._peer, Frame(Kind.REPLY_ACK, self._channel, frame.seq, size))
        if reply is not None:
            self._exchange.succeed(reply)
            self._exchange = self._request = None

    def _closed_by_node(self, declined: int) -> None:
        """End the channel. The node executes no request from this number on, unless it is 0."""
        reason = "the node closed the channel"
        if 0 < declined <= self._seq and self._exchange is not None:
            self._exchange.fail(reason, undelivered=True)
        self.end(reason)

    def request_undelivered(self, seq: int) -> None:
        reason = "the node has ended, or no longer knows the channel"
        if seq == self._seq and self._exchange is not None:
            self._exchange.fail(reason, undelivered=True)
        self.close(reason)

    def close(self, reason: str) -> None:
        """End the channel, and tell the node."""
        if not self.closed_because:
            self._connection.send_soon(self._peer, Frame(Kind.CLOSED_BY_CALLER, self._channel))
            self.end(reason)

    def end(self, reason: str) -> None:
        self.closed_because = self.closed_because or reason
        self._connection.peers.detach(self._peer, False, self._channel)
        if self._task is not None:
            self._task.cancel()
        if self._request is not None:
            self._request.stop()
        if self._exchange is not None:
            self._exchange.fail(reason)
