"""A connection through the WAN: two endpoints, and a delaying pipe in each direction between them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from .endpoint import Endpoint
from .faults import Fault
from .network import Network, Weather
from .pipe import Pipe


@dataclass(kw_only=True)
class Traffic:
    """The connections through one WAN, what has been counted of them, and the fault that was ordered for them."""

    connections: set[ProxiedConnection] = field(default_factory=set)
    """Those that are open."""
    accepted: int = 0
    """How many connections there have been."""
    round_trips: int = 0
    fault: Fault | None = None
    """The fault that will hit the next request."""

    def take_fault(self) -> Fault | None:
        """The fault that hits the request that arrives now, if one was ordered."""
        fault, self.fault = self.fault, None
        return fault


class ProxiedConnection:
    """A client's connection, joined with a connection to the target."""

    def __init__(self, network: Network, traffic: Traffic) -> None:
        self.network = network
        self.client = Endpoint(self)
        self.server = Endpoint(self)
        self._traffic = traffic
        # As with TCP: the client can send after one round trip. A server that speaks first sees the connection after
        # one and a half, since its socket is connected only when the client's answer has arrived.
        now = network.loop.time()
        self.up = Pipe(network, self.client, self.server, opens_at=now + network.rtt, progressed=self._progressed)
        self.down = Pipe(
            network, self.server, self.client, opens_at=now + network.rtt * 1.5, progressed=self._progressed
        )
        self.deaf = network.weather is Weather.DEAF
        self._fault: Fault | None = None
        self._clients_turn = True
        self._abandoned = False
        self._half_gone = False
        self._dialling: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether neither endpoint is connected any more."""
        dialling = self._dialling is not None and not self._dialling.done()
        return self.client.lost and not dialling and (self.server.lost or self.server.transport is None)

    def connected(self, endpoint: Endpoint) -> None:
        if self.network.weather is Weather.DEAF:
            endpoint.ignore()
        if endpoint is self.server:
            self.up.deliver()
            return
        if self.network.weather is Weather.CUT:  # the WAN was cut between the accept and this call
            endpoint.abort()
            return
        self._traffic.accepted += 1
        self._traffic.connections.add(self)
        if not self.deaf:
            self._dialling = self.network.loop.create_task(self._dial())

    def received(self, endpoint: Endpoint, chunk: bytes) -> None:
        if self.deaf:
            return
        if endpoint is self.client:
            self._request(chunk)
        elif not self._abandoned:
            (self._fault.reply(self, chunk) if self._fault else self.down.push(chunk))

    def ended(self, endpoint: Endpoint) -> None:
        if self.deaf:
            self._end_useless()
        else:
            self._pipe_from(endpoint).end()

    def disconnected(self, endpoint: Endpoint) -> None:
        if self.deaf:
            self._end_useless()
        elif not (self._abandoned and endpoint is self.client):
            self._pipe_from(endpoint).hang_up()
        self._forget_if_closed()

    def drained(self, endpoint: Endpoint) -> None:
        pipe = self.up if endpoint is self.server else self.down
        pipe.deliver()

    def deliver(self) -> None:
        """Deliver what is due in both directions."""
        self.up.deliver()
        self.down.deliver()

    def go_deaf(self) -> None:
        """Swallow what is under way, and everything that is sent from now on, without acknowledging it."""
        self._lose_everything()
        self.client.ignore()
        self.server.ignore()

    def heed(self) -> None:
        """Acknowledge again what is sent, and notice that an end has gone. A deaf connection stays useless."""
        self.client.heed()
        self.server.heed()
        if self._half_gone:
            self.abort()

    def abandon(self) -> None:
        """Disconnect the client; the server gets what was sent, and whatever it sends is dropped."""
        self._abandoned = True
        self.down.clear()
        self.client.abort()
        self.up.end()

    def abort(self) -> None:
        """Disconnect both endpoints at once."""
        self._lose_everything()
        if self._dialling:
            self._dialling.cancel()
        self.client.abort()
        self.server.abort()

    def _end_useless(self) -> None:
        """An end has gone while nothing could be told to the other, which learns it once the WAN is healed."""
        self._half_gone = True
        if self.network.weather is not Weather.DEAF:
            self.abort()

    def _lose_everything(self) -> None:
        self.deaf = True
        self.up.clear()
        self.down.clear()

    def _pipe_from(self, endpoint: Endpoint) -> Pipe:
        return self.up if endpoint is self.client else self.down

    def _request(self, chunk: bytes) -> None:
        if self._clients_turn:
            self._clients_turn = False
            self._traffic.round_trips += 1
        self._fault = self._fault or self._traffic.take_fault()
        if self._fault:
            self._fault.request(self, chunk)
        else:
            self.up.push(chunk)

    def _progressed(self, pipe: Pipe) -> None:
        """The pipe has delivered something."""
        if pipe is self.down:
            self._clients_turn = True
        elif self._fault and not self._abandoned:
            self._fault.progressed(self)
        if self.up.ended and self.down.ended:
            self.client.close()
            self.server.close()

    async def _dial(self) -> None:
        """Connect to the target; if that fails, disconnect the client as soon as it could know."""
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
            loop.call_soon(self._forget_if_closed)  # later, because this task counts as dialling until it returns

    def _forget_if_closed(self) -> None:
        if self.closed:
            self._traffic.connections.discard(self)
