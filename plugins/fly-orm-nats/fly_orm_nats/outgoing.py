"""Sending one message in chunks, no faster than the other end takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .connection import NatsConnection
from .frames import WINDOW_BYTES, Kind, chunks


class OutgoingMessage:
    """A request or reply that is being sent. For the connection's thread only."""

    def __init__(
        self, connection: NatsConnection, peer: str, kind: Kind, channel: bytes, seq: int, message: bytes
    ) -> None:
        self._connection, self._peer = connection, peer
        self._kind, self._channel, self.seq = kind, channel, seq
        self._message = message
        self._acknowledged = 0
        self._more = asyncio.Event()
        self._stopped = False

    async def send(self, may_finish: Callable[[], bool] = lambda: True) -> None:
        """Send the message. ``may_finish`` is asked before the last chunk, without which the message means nothing."""
        reference = (self._channel.hex(), str(self.seq)) if self._kind is Kind.REQUEST else ()
        max_payload = self._connection.client.max_payload
        for frame in chunks(self._kind, self._channel, self.seq, self._message, max_payload):
            end = frame.offset + len(frame.data)
            while end - self._acknowledged > WINDOW_BYTES and not self._stopped:
                self._more.clear()
                await self._more.wait()
            if self._stopped or (end == frame.total and not may_finish()):
                return
            await self._connection.publish(self._peer, frame, *reference)

    def acknowledge(self, seq: int, size: int) -> None:
        """The first ``size`` bytes have arrived."""
        if seq == self.seq and size > self._acknowledged:
            self._acknowledged = size
            self._more.set()

    def stop(self) -> None:
        """Send no more of it. Cancelling the task is not enough: nats-py may swallow the cancellation in a flush."""
        self._stopped = True
        self._more.set()
