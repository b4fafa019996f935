"""One connection through the WAN: two ends, and a delaying pipe in each direction between them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from .network import Network, Weather
from .pipe import Pipe

if TYPE_CHECKING:
    from .faults import Fault


class End(asyncio.Protocol):
    """One side of a link: the client's or the server's."""

    def __init__(self, link: Link) -> None:
        self.transport: asyncio.Transport | None = None
        self.writable = False
        self.lost = False
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)  # what the other side does not take yet stays in the pipe
        end = transport.get_extra_info("socket")
        if end.family != socket.AF_UNIX:
            # Or a second chunk waits until the first is acknowledged, which the other side may put off for 40 ms.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writable = True
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        self._link.received(self, data)

    def eof_received(self) -> bool:
        self._link.ended(self)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._link.lost(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._link.drained(self)

    def abort(self) -> None:
        """Disconnect at once."""
        if self.transport and not self.lost:
            # A process forked from this one may hold the socket open too, so closing ours would not be enough.
            with suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            self.transport.abort()

    def write(self, chunk: bytes) -> None:
        """Hand ``chunk`` to this side, unless it is gone."""
        if self.transport and not self.transport.is_closing():
            self.transport.write(chunk)

    def finish(self) -> None:
        """Tell this side that nothing more will come."""
        if self.transport and not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        """Disconnect when what was written has left."""
        if self.transport:
            self.transport.close()


class Link:
    """A client's connection, and the connection to the target that it is joined with."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.client = End(self)
        self.server = End(self)
        # As over TCP: the client can send after one round trip, and a server that speaks first does so when it has
        # seen the connection, half a round trip later.
        now = network.loop.time()
        self.up = Pipe(network, self.client, self.server, opens_at=now + network.rtt, progressed=self._progressed)
        self.down = Pipe(
            network, self.server, self.client, opens_at=now + network.rtt * 1.5, progressed=self._progressed
        )
        self.deaf = network.weather is Weather.DEAF
        self._fault: Fault | None = None
        self._clients_turn = True
        self._abandoned = False
        self._dialling: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether neither end is connected any more."""
        dialling = self._dialling is not None and not self._dialling.done()
        return self.client.lost and not dialling and (self.server.lost or self.server.transport is None)

    def made(self, end: End) -> None:
        """One end is connected."""
        if end is self.server:
            self.up.deliver()
            return
        if self.network.weather is Weather.CUT:  # accepted a moment ago
            end.abort()
            return
        self.network.connections += 1
        self.network.links.add(self)
        if not self.deaf:
            self._dialling = self.network.loop.create_task(self._dial())

    def received(self, end: End, chunk: bytes) -> None:
        """A chunk has come from ``end``."""
        if self.deaf:
            return
        if end is self.client:
            self._request(chunk)
        elif not self._abandoned:
            (self._fault.reply(self, chunk) if self._fault else self.down.push(chunk))

    def ended(self, end: End) -> None:
        """Nothing more will come from ``end``."""
        if not self.deaf:
            self._pipe_from(end).end()

    def lost(self, end: End) -> None:
        """``end`` is not connected any more, however that came."""
        if not self.deaf and not (self._abandoned and end is self.client):
            self._pipe_from(end).hang_up()
        self._forget_if_closed()

    def drained(self, end: End) -> None:
        """``end`` takes bytes again."""
        pipe = self.up if end is self.server else self.down
        pipe.deliver()

    def deliver(self) -> None:
        """Deliver what is due in both directions."""
        self.up.deliver()
        self.down.deliver()

    def go_deaf(self) -> None:
        """Swallow what is on its way, and from now on everything."""
        self.deaf = True
        self.up.clear()
        self.down.clear()

    def abandon(self) -> None:
        """Disconnect the client; the server gets what was sent to it, and may go on, unheard."""
        self._abandoned = True
        self.down.clear()
        self.client.abort()
        self.up.end()

    def abort(self) -> None:
        """Disconnect both ends at once."""
        self.go_deaf()
        if self._dialling:
            self._dialling.cancel()
        self.client.abort()
        self.server.abort()

    def _pipe_from(self, end: End) -> Pipe:
        return self.up if end is self.client else self.down

    def _request(self, chunk: bytes) -> None:
        if self._clients_turn:
            self._clients_turn = False
            self.network.round_trips += 1
        self._fault = self._fault or self.network.take_fault()
        if self._fault:
            self._fault.request(self, chunk)
        else:
            self.up.push(chunk)

    def _progressed(self, pipe: Pipe) -> None:
        """Something was delivered by ``pipe``."""
        if pipe is self.down:
            self._clients_turn = True
        elif self._fault and not self._abandoned:
            self._fault.progressed(self)
        if self.up.ended and self.down.ended:
            self.client.close()
            self.server.close()

    async def _dial(self) -> None:
        """Connect to the target; if that fails, the client is disconnected when it can know."""
        loop, (family, target) = self.network.loop, self.network.target
        connecting = socket.socket(family, socket.SOCK_STREAM)
        connecting.setblocking(False)
        try:
            await loop.sock_connect(connecting, target)
            await loop.create_connection(lambda: self.server, sock=connecting)
        except BaseException as error:
            connecting.close()
            if not isinstance(error, OSError):
                raise
            self.down.hang_up()
        finally:
            loop.call_soon(self._forget_if_closed)

    def _forget_if_closed(self) -> None:
        if self.closed:
            self.network.links.discard(self)
