"""A wide-area network between two processes of one machine."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType

from .address import Binding, parse
from .faults import CutAfterRequest, CutBeforeReply, CutBeforeRequest, Fault
from .link import Link
from .loop import LoopThread
from .network import Network, Weather

BACKLOG = 1024


class Wan:
    """A proxy in front of ``target`` whose clients are a round trip of ``rtt`` seconds away from it, and which fails
    on demand.

    Both addresses are ``"host:port"``, ``"[::1]:port"`` or the path of a Unix socket. Every byte is delivered half a
    round trip after it was sent, however many are under way. A new connection costs one round trip more, which the
    client pays with its first request: that the *connect* itself returns at once, and that a target which refuses
    is seen as a disconnection, is the one thing in which a proxy differs from distance.

    It listens, in a thread of its own, until it is closed. Any thread may call any method, and what that asks for is
    in force when it returns.
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
            self._thread.run(self._open())
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Drop every connection and give the address up. Does nothing the second time, or in a forked process."""
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
        """Where it really listens."""
        return self._binding.address

    @property
    def rtt(self) -> float:
        """Seconds that a round trip takes; a change is for what is sent from now on."""
        return self._network.rtt

    @rtt.setter
    def rtt(self, seconds: float) -> None:
        self._network.rtt = _check_rtt(seconds)

    @property
    def round_trips(self) -> int:
        """How often a client has spoken first on its connection, or again after hearing from the server."""
        return self._network.round_trips

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return self._network.connections

    def reset_counters(self) -> None:
        """Count from 0 again."""
        self._do(self._reset_counters)

    def cut(self) -> None:
        """Drop all connections, and what is on its way, and refuse new ones until :meth:`heal`."""
        self._do(self._cut)

    def stall(self) -> None:
        """Hold every byte, in both directions and on new connections too, and deliver them after :meth:`heal`."""
        self._do(self._change, Weather.STALLED)

    def deaf(self) -> None:
        """Swallow every byte, in both directions and on new connections too. Healing helps only later connections."""
        self._do(self._change, Weather.DEAF)

    def heal(self) -> None:
        """Work again; a fault that was ordered and has not happened yet will not."""
        self._thread.run(self._heal())

    def cut_before_request(self) -> threading.Event:
        """Lose the next request: what a client sends next is dropped, and it is disconnected.

        The next request is the next bytes that any client sends, and the server sees its connection end. The event
        is set when this, or one of the other two, has happened. A later order replaces one that has not.
        """
        return self._order(CutBeforeRequest())

    def cut_after_request(self) -> threading.Event:
        """Deliver the next request completely, and disconnect the client at once, while the server executes it.

        A request is complete when its sender pauses for 20 ms, or when the server answers.
        """
        return self._order(CutAfterRequest())

    def cut_before_reply(self) -> threading.Event:
        """Deliver the next request, wait for the first bytes of the server's reply, and drop them and the client."""
        return self._order(CutBeforeReply())

    def _order(self, fault: Fault) -> threading.Event:
        def order() -> None:
            self._network.fault = fault

        self._do(order)
        return fault.fired

    def _do(self, action: Callable[..., None], *arguments: object) -> None:
        """Call ``action`` in the loop's thread, so between two events of the network."""

        async def act() -> None:
            action(*arguments)

        self._thread.run(act())

    async def _open(self) -> None:
        loop = self._network.loop
        self._server = await loop.create_server(
            lambda: Link(self._network).client, sock=self._binding.open(), backlog=BACKLOG
        )

    def _refuse(self) -> None:
        if self._server:
            for listener in self._server.sockets:
                with suppress(OSError):  # only Linux wants it: a forked process would go on listening
                    listener.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        for listener in self._server.sockets if self._server else ():
            self._network.loop.remove_reader(listener)
        await asyncio.sleep(0)  # asyncio loses what it has accepted when its server is closed in the same round
        self._cut()
        await asyncio.sleep(0)  # what was accepted in this round of the loop becomes a task
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) or self._network.links:
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # connections that were refused meanwhile are closed in the next round

    def _reset_counters(self) -> None:
        self._network.connections = self._network.round_trips = 0

    def _cut(self) -> None:
        self._network.weather = Weather.CUT
        self._refuse()
        for link in self._network.links:
            link.abort()

    def _change(self, weather: Weather) -> None:
        self._network.weather = weather
        if weather is Weather.DEAF:
            for link in self._network.links:
                link.go_deaf()

    async def _heal(self) -> None:
        self._network.weather = Weather.FAIR
        self._network.fault = None
        if self._server is None:
            await self._open()
        for link in list(self._network.links):
            link.deliver()


def _check_rtt(seconds: float) -> float:
    if not seconds >= 0:
        raise ValueError(f"rtt must be 0 or more seconds, not {seconds!r}")
    return seconds
