"""What the transports cost: an exchange of a few bytes, and a whole forwarded insert, by number of callers."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import pytest

from examples.two_regions.process import Process
from fly_orm.deadline import Deadline
from fly_orm.forwarding.channels import NodeChannels
from fly_orm.forwarding.remote_lease import RemoteLease
from fly_orm.protocol.handshake import ClientHandshake
from fly_orm.protocol.messages import Run
from fly_orm.protocol.secret import Secrets
from fly_orm.registry import TRANSPORTS, make_transport, registry
from fly_orm.settings import Settings
from fly_orm.topology import Node
from fly_orm.transport import Transport
from tests.support.nats_server import nats_server
from tests.support.tables import Table

from ..duration import times
from ..report import ms, percentile
from ..world import NAME, World
from .transports_node import SECRET, served

CALLERS = (1, 8, 32, 128)
#: Each transport has so many turns, of so many seconds.
TURNS, SECONDS = times(6, 1), 0.5
MESSAGE = b"x" * 200
_INSERT = Run(
    database=NAME, lease=b"", statements=[b"INSERT INTO row (name, number) VALUES ('transports', 1) RETURNING id"]
)

#: Does one thing once.
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A transport, and the two places that are served over it."""

    name: str
    transport: Transport
    echo: str
    node: str

    @contextmanager
    def exchanges(self, callers: int) -> Iterator[list[Work]]:
        """For each caller an exchange of :data:`MESSAGE` for itself, over a sealed channel of its own."""
        with ExitStack() as undo:
            yield [self._exchange(undo) for _ in range(callers)]

    def _exchange(self, undo: ExitStack) -> Work:
        channel = self.transport.connect(self.echo, _soon())
        undo.callback(channel.close)
        handshake = ClientHandshake(Secrets(SECRET))
        seal = handshake.accept(channel.exchange(handshake.hello, _soon()), self.echo)

        def exchange() -> None:
            if seal.open(channel.exchange(seal.close(MESSAGE), _soon())) != MESSAGE:
                raise AssertionError("another message came back")

        exchange()  # or it would stay a stranger, who may be displaced by the next one
        return exchange

    @contextmanager
    def inserts(self, callers: int) -> Iterator[list[Work]]:
        """For each caller an insert that the node executes and commits; there are as many channels as callers."""
        node = Node(region="syd", address=self.node)
        channels = NodeChannels(self.transport, node, secrets=Secrets(SECRET), region="lax", max_size=callers)
        try:
            for channel in [channels.acquire(_soon()) for _ in range(callers)]:
                channels.release(channel)
            yield [lambda: RemoteLease(channels, _soon()).open(_INSERT, _soon())] * callers
        finally:
            channels.close()


@dataclass
class Figures:
    """What one transport has shown in its turns so far."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """How many were done in a second."""
        return len(self.latencies) / self.seconds

    def cells(self) -> tuple[str, str, str]:
        return ms(percentile(self.latencies, 50)), ms(percentile(self.latencies, 99)), f"{self.rate:.0f}"

    def take_turn(self, works: Sequence[Work]) -> None:
        """Have all callers at work for a while."""
        began: list[float] = []
        start = threading.Barrier(len(works), action=lambda: began.append(perf_counter()))
        with ThreadPoolExecutor(len(works)) as pool:
            found = list(pool.map(_repeat, works, [start] * len(works)))
        self.seconds += perf_counter() - began[0]
        self.latencies += [latency for each in found for latency in each]


def _repeat(work: Work, start: threading.Barrier) -> list[float]:
    """How long each time took, from when all callers are there."""
    start.wait()
    latencies, now = [], perf_counter()
    end = now + SECONDS
    while now < end:
        started = now
        work()
        now = perf_counter()
        latencies.append(now - started)
    return latencies


def run(world: World) -> Table:
    """By number of callers and transport."""
    with _sides(world.reach["primary"]) as sides:
        rows = [row for callers in CALLERS for row in _rows(sides, callers)]
    absent = sorted(set(registry(TRANSPORTS).names()) - {side.name for side in sides})
    return Table(
        title=(
            f"{len(MESSAGE)} bytes and back, sealed, and inserts on the primary, with no network or replica to wait "
            f"for ({TURNS} turns of {SECONDS} s; callers are threads of one process, where inprocess has both ends)"
        ),
        headings=("callers, transport", "p50 ms", "p99 ms", "per s", "insert p50 ms", "p99 ms", "per s"),
        rows=rows,
        result=f"not measured, for want of a server: {', '.join(absent)}" if absent else "",
    )


def _rows(sides: list[Side], callers: int) -> list[tuple[str, ...]]:
    exchanges = _by_turns([side.exchanges(callers) for side in sides])
    inserts = _by_turns([side.inserts(callers) for side in sides])
    return [
        (f"{callers:3} {side.name}", *exchanged.cells(), *inserted.cells())
        for side, exchanged, inserted in zip(sides, exchanges, inserts, strict=True)
    ]


def _by_turns(opened: list[AbstractContextManager[list[Work]]]) -> list[Figures]:
    """What each of them shows, one turn after the other, in another order each time."""
    with ExitStack() as undo:
        works = [undo.enter_context(each) for each in opened]
        figures = [Figures() for _ in works]
        for each in works:
            Figures().take_turn(each)  # what is done for the first time
        for turn in range(TURNS):
            for place in range(len(works)):
                which = (turn + place) % len(works)
                figures[which].take_turn(works[which])
    return figures


@contextmanager
def _sides(primary: Mapping[str, Any]) -> Iterator[list[Side]]:
    """Every transport that is installed and has what it needs."""
    with ExitStack() as undo:
        names = registry(TRANSPORTS).names()
        if "nats" in names:
            try:
                os.environ["NATS_URL"] = undo.enter_context(nats_server()).url
            except pytest.skip.Exception:
                names.remove("nats")
        yield [_side(name, primary, undo) for name in names]


def _side(name: str, primary: Mapping[str, Any], undo: ExitStack) -> Side:
    if name == "inprocess":
        echo, node = undo.enter_context(served(name, primary))
    else:
        command = ("tests.bench.wire.transports_node", name, json.dumps(primary))
        echo, node = undo.enter_context(Process(*command, environment=os.environ)).hear().split()
    return Side(name=name, transport=make_transport(name, Settings()), echo=echo, node=node)


def _soon() -> Deadline:
    return Deadline.after(30)
