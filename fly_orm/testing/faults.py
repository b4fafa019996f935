"""Faults that happen once, to the next request, each at another point of its life."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .link import Link

#: A request is complete when its sender has paused for so long, or when the server answers.
BURST_INTERVAL = 0.02


class Fault:
    """A fault that meets one request, and through :attr:`fired` whether it has happened."""

    def __init__(self) -> None:
        self.fired = threading.Event()

    def request(self, link: Link, chunk: bytes) -> None:
        """The client has sent ``chunk``."""
        link.up.push(chunk)

    def reply(self, link: Link, chunk: bytes) -> None:
        """The server has sent ``chunk``."""
        link.down.push(chunk)

    def progressed(self, link: Link) -> None:
        """Something of what the client has sent was delivered."""

    def fire(self, link: Link) -> None:
        """Disconnect the client; the server sees the end of its input after what was sent to it."""
        link.abandon()
        self.fired.set()


class CutBeforeRequest(Fault):
    """Loses a request on its way."""

    def request(self, link: Link, chunk: bytes) -> None:
        self.fire(link)


class CutBeforeReply(Fault):
    """Delivers a request, and loses the reply."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier: int | None = None

    def request(self, link: Link, chunk: bytes) -> None:
        if self._earlier is None:
            self._earlier = link.up.pushed
        super().request(link, chunk)

    def reply(self, link: Link, chunk: bytes) -> None:
        if self._answers(link):
            self.fire(link)
        else:
            super().reply(link, chunk)

    def _answers(self, link: Link) -> bool:
        """Whether what the server sends now can be about the request, which it has begun to receive."""
        return self._earlier is not None and link.up.delivered > self._earlier


class CutAfterRequest(CutBeforeReply):
    """Delivers a request, and disconnects its sender without waiting for the server."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None
        self._complete = False

    def request(self, link: Link, chunk: bytes) -> None:
        super().request(link, chunk)
        if self._timer:
            self._timer.cancel()
        self._timer = link.network.loop.call_later(BURST_INTERVAL, self._end_request, link)

    def reply(self, link: Link, chunk: bytes) -> None:
        if self._answers(link):
            self._end_request(link)
        else:
            super().reply(link, chunk)

    def progressed(self, link: Link) -> None:
        if self._complete and link.up.empty and not link.deaf:
            self.fire(link)

    def _end_request(self, link: Link) -> None:
        self._complete = True
        self.progressed(link)
