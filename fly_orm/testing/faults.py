"""Faults that hit one request, each at another point of its way."""

from __future__ import annotations

import asyncio
import threading
from typing import Protocol

from .network import Network
from .pipe import Pipe

#: A request is complete when the client has paused for this long (seconds), or when the server answers.
BURST_INTERVAL = 0.02


class FaultyConnection(Protocol):
    """The connection that a fault hits."""

    network: Network
    up: Pipe
    """From the client to the server."""
    down: Pipe
    """From the server to the client."""
    deaf: bool
    """Whether every byte is swallowed."""

    def abandon(self) -> None:
        """Disconnect the client, and deliver to the server what was sent."""


class Fault:
    """A fault that hits one request; :attr:`fired` is set when it has happened. By itself, it does nothing."""

    def __init__(self) -> None:
        self.fired = threading.Event()

    def request(self, connection: FaultyConnection, chunk: bytes) -> None:
        """The client has sent ``chunk``."""
        connection.up.push(chunk)

    def reply(self, connection: FaultyConnection, chunk: bytes) -> None:
        """The server has sent ``chunk``."""
        connection.down.push(chunk)

    def progressed(self, connection: FaultyConnection) -> None:
        """A part of what the client has sent was delivered."""

    def fire(self, connection: FaultyConnection) -> None:
        """Disconnect the client; the server gets what was sent, and then the end of its input."""
        connection.abandon()
        self.fired.set()


class CutBeforeRequest(Fault):
    """Drops a request before the server receives it."""

    def request(self, connection: FaultyConnection, chunk: bytes) -> None:
        self.fire(connection)


class CutBeforeReply(Fault):
    """Delivers a request and drops the reply."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks_before: int | None = None
        """How many chunks the client had sent before the request."""

    def request(self, connection: FaultyConnection, chunk: bytes) -> None:
        if self._chunks_before is None:
            self._chunks_before = connection.up.pushed
        super().request(connection, chunk)

    def reply(self, connection: FaultyConnection, chunk: bytes) -> None:
        if self._answers(connection):
            self.fire(connection)
        else:
            super().reply(connection, chunk)

    def _answers(self, connection: FaultyConnection) -> bool:
        """Whether the server has begun to receive the request, so that what it sends now can be the reply."""
        return self._chunks_before is not None and connection.up.delivered > self._chunks_before


class CutAfterRequest(CutBeforeReply):
    """Delivers a request and disconnects the client, without waiting for the server."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None
        self._complete = False

    def request(self, connection: FaultyConnection, chunk: bytes) -> None:
        super().request(connection, chunk)
        if self._timer:
            self._timer.cancel()
        self._timer = connection.network.loop.call_later(BURST_INTERVAL, self._end_request, connection)

    def reply(self, connection: FaultyConnection, chunk: bytes) -> None:
        if self._answers(connection):
            self._end_request(connection)
        else:
            super().reply(connection, chunk)

    def progressed(self, connection: FaultyConnection) -> None:
        if self._complete and connection.up.empty and not connection.deaf:
            self.fire(connection)

    def _end_request(self, connection: FaultyConnection) -> None:
        self._complete = True
        self.progressed(connection)
