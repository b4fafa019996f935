"""One end of a connection through the WAN: the client's or the server's."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Protocol, cast

from . import silence


class EndpointOwner(Protocol):
    """What is told of everything that happens at an endpoint."""

    def connected(self, endpoint: Endpoint) -> None:
        """The endpoint is connected."""

    def received(self, endpoint: Endpoint, chunk: bytes) -> None:
        """The endpoint's peer has sent a chunk."""

    def ended(self, endpoint: Endpoint) -> None:
        """The endpoint's peer will send nothing more."""

    def disconnected(self, endpoint: Endpoint) -> None:
        """The endpoint is not connected any more, for whatever reason."""

    def drained(self, endpoint: Endpoint) -> None:
        """The endpoint's peer accepts bytes again."""


class Endpoint(asyncio.Protocol):
    """One end of a connection through the WAN, as asyncio's event loop drives it."""

    def __init__(self, owner: EndpointOwner) -> None:
        self.transport: asyncio.Transport | None = None
        self.writable = False
        self.lost = False
        self.ignoring = False
        """Whether the system drops what the peer sends."""
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)  # what the peer does not accept yet stays in the pipe
        connected = transport.get_extra_info("socket")
        if connected.family != socket.AF_UNIX:
            # Otherwise Nagle's algorithm holds a second chunk until the first is acknowledged, which can take 40 ms.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writable = True
        self._owner.connected(self)

    def data_received(self, data: bytes) -> None:
        self._owner.received(self, data)

    def eof_received(self) -> bool:
        self._owner.ended(self)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._owner.disconnected(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._owner.drained(self)

    def ignore(self) -> None:
        """Let the system drop what the peer sends, where it can."""
        if self.transport and not self.lost:
            self.ignoring = silence.ignore(self.transport.get_extra_info("socket"))

    def heed(self) -> None:
        """Let through again what the peer sends, its end included."""
        if self.transport and not self.lost and self.ignoring:
            self.ignoring = False
            silence.heed(self.transport.get_extra_info("socket"))

    def abort(self) -> None:
        """Disconnect at once."""
        self.heed()
        if self.transport and not self.lost:
            # Closing would not be enough: a process forked from this one may hold the socket open too.
            with suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            self.transport.abort()

    def write(self, chunk: bytes) -> None:
        """Send a chunk to the peer, unless it is gone."""
        if self.transport and not self.transport.is_closing():
            self.transport.write(chunk)

    def finish(self) -> None:
        """Tell the peer that nothing more will come, unless it is gone."""
        if self.transport and not self.transport.is_closing():
            with suppress(OSError):  # a peer that has said everything, and is reset now, is noticed only here
                self.transport.write_eof()

    def close(self) -> None:
        """Disconnect once everything written has been sent."""
        if self.transport:
            self.transport.close()
