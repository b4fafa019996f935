"""A wide-area network between two processes of one machine."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType

from . import silence
from .address import Binding, SocketAddress, parse
from .faults import CutAfterRequest, CutBeforeReply, CutBeforeRequest, Fault
from .loop import LoopThread
from .network import Network, Weather
from .proxied_connection import ProxiedConnection, Traffic

BACKLOG = 1024


class Wan:
    """A proxy in front of ``target`` that keeps its clients ``rtt`` seconds away, and fails on demand.

    Both addresses are ``"host:port"``, ``"[::1]:port"`` or the path of a Unix socket. Every byte is delivered half a
    round trip after it was sent, however many are under way. A new connection costs one more round trip, which the
    client pays with its first request. In one thing a proxy differs from real distance: connecting returns at once, and
    if the target refuses the connection, the client sees it end.

    The proxy listens, on a thread of its own, until it is closed. Any thread may call any method, and it has taken
    effect when it returns.
    """

    def __init__(self, target: str, listen: str = "127.0.0.1:0", rtt: float = 0.0) -> None:
        self._owner = os.getpid()
        self._server: asyncio.Server | None = None
        with ExitStack() as undo:
            self._binding = Binding(listen)
            undo.callback(self._binding.release)
            self._thread = LoopThread("wan")
            undo.callback(self._thread.close)
            self._network = Network(loop=self._thread.loop, target=parse(target), rtt=_check_rtt(rtt))
            self._traffic = Traffic()
            self._thread.run(self._open())
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Drop every connection and release the address. Does nothing the second time, or in a forked process."""
        if os.getpid() == self._owner and self._thread.running:
            self._thread.run(self._close())
            self._undo.close()

    def __enter__(self) -> Wan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address at which the proxy listens, with the port that was bound."""
        return self._binding.address

    @property
    def rtt(self) -> float:
        """Seconds that a round trip takes, 0 or more. A change applies to what is sent from then on."""
        return self._network.rtt

    @rtt.setter
    def rtt(self, seconds: float) -> None:
        self._network.rtt = _check_rtt(seconds)

    @property
    def round_trips(self) -> int:
        """How many times a client has sent something on a new connection, or after it received a reply."""
        return self._traffic.round_trips

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return self._traffic.accepted

    def reset_counters(self) -> None:
        """Count from 0 again."""
        self._do(self._reset_counters)

    def lead_to(self, target: str) -> None:
        """Let new connections reach another target. Those that are open stay where they are."""
        self._do(self._lead_to, parse(target))

    def cut(self) -> None:
        """Drop all connections with everything under way, and refuse new ones until :meth:`heal`."""
        self._thread.run(self._cut())

    def stall(self) -> None:
        """Hold every byte, in both directions and on new connections too, until :meth:`heal`."""
        self._do(self._change, Weather.STALLED)

    def deaf(self) -> bool:
        """Swallow every byte, in both directions and on new connections too, until :meth:`heal`.

        Connections that exist meanwhile stay useless. Connecting still succeeds. Returns whether both ends also get no
        acknowledgement of what they send, so that their keepalives and their ``TCP_USER_TIMEOUT`` find the peer dead.
        That takes a filter in the system: Linux has it, for root, and depending on its version for other users.
        Elsewhere, the system goes on acknowledging data and answering keepalives in place of the deaf peer.
        """
        self._do(self._change, Weather.DEAF)
        return silence.possible()

    def heal(self) -> None:
        """Work again. A fault that was ordered and has not happened yet is cancelled."""
        self._thread.run(self._heal())

    def cut_before_request(self) -> threading.Event:
        """Drop the next request, which is the next bytes that any client sends, and disconnect the client.

        The server sees its connection end. The event returned is set when the fault has happened. Each of the three
        methods replaces a fault that was ordered before and has not happened yet.
        """
        return self._order(CutBeforeRequest())

    def cut_after_request(self) -> threading.Event:
        """Deliver the next request completely, and disconnect the client at once, while the server executes it.

        A request is complete when the client pauses for 20 ms, or when the server answers.
        """
        return self._order(CutAfterRequest())

    def cut_before_reply(self) -> threading.Event:
        """Deliver the next request, drop the reply when its first bytes arrive, and disconnect the client."""
        return self._order(CutBeforeReply())

    def _order(self, fault: Fault) -> threading.Event:
        def order() -> None:
            self._traffic.fault = fault

        self._do(order)
        return fault.fired

    def _do(self, action: Callable[..., None], *arguments: object) -> None:
        """Call ``action`` on the loop's thread, and so between two events of the network."""

        async def act() -> None:
            action(*arguments)

        self._thread.run(act())

    async def _open(self) -> None:
        loop = self._network.loop
        self._server = await loop.create_server(
            lambda: ProxiedConnection(self._network, self._traffic).client, sock=self._binding.open(), backlog=BACKLOG
        )

    def _lead_to(self, target: SocketAddress) -> None:
        self._network.target = target

    def _refuse(self) -> None:
        if self._server:
            for listener in self._server.sockets:
                with suppress(OSError):  # else a forked process would go on listening; only Linux allows this
                    listener.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._cut()
        await asyncio.sleep(0)  # what was accepted in this round of the loop becomes a task
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) or self._traffic.connections:
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # connections that were refused meanwhile are closed in the next round

    def _reset_counters(self) -> None:
        self._traffic.accepted = self._traffic.round_trips = 0

    async def _cut(self) -> None:
        self._network.weather = Weather.CUT
        for listener in self._server.sockets if self._server else ():
            self._network.loop.remove_reader(listener)
        await asyncio.sleep(0)  # asyncio loses a connection that it accepts in the round in which its server is closed
        self._refuse()
        for connection in self._traffic.connections:
            connection.abort()

    def _change(self, weather: Weather) -> None:
        self._network.weather = weather
        if weather is Weather.DEAF:
            for connection in self._traffic.connections:
                connection.go_deaf()

    async def _heal(self) -> None:
        self._network.weather = Weather.FAIR
        self._traffic.fault = None
        if self._server is None:
            await self._open()
        for connection in list(self._traffic.connections):
            connection.heed()
            connection.deliver()


def _check_rtt(seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"rtt must be 0 or more seconds, not {seconds!r}")
    return seconds
