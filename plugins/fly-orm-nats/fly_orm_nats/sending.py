"""One message on its way, in chunks, no faster than the other end takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .frames import WINDOW_BYTES, Kind, chunks
from .link import Link


class Sending:
    """A message that is being sent. For the link's thread only."""

    def __init__(self, link: Link, peer: str, kind: Kind, channel: bytes, seq: int, message: bytes) -> None:
        self._link, self._peer = link, peer
        self._kind, self._channel, self.seq = kind, channel, seq
        self._message = message
        self._acknowledged = 0
        self._more = asyncio.Event()
        self._abandoned = False

    async def run(self, may_finish: Callable[[], bool] = lambda: True) -> None:
        """Send it. Before its last chunk, without which it means nothing, ``may_finish`` is asked whether to."""
        answer = (self._channel.hex(), str(self.seq)) if self._kind is Kind.REQUEST else ()
        for frame in chunks(self._kind, self._channel, self.seq, self._message, self._link.client.max_payload):
            end = frame.offset + len(frame.data)
            while end - self._acknowledged > WINDOW_BYTES and not self._abandoned:
                self._more.clear()
                await self._more.wait()
            if self._abandoned or (end == frame.total and not may_finish()):
                return
            await self._link.publish(self._peer, frame, *answer)

    def acknowledge(self, seq: int, size: int) -> None:
        """So many bytes have arrived."""
        if seq == self.seq and size > self._acknowledged:
            self._acknowledged = size
            self._more.set()

    def abandon(self) -> None:
        """No more of it is sent. That its task is cancelled is not enough: nats-py may swallow it while it flushes."""
        self._abandoned = True
        self._more.set()
