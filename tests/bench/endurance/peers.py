"""What a peer that holds the secret, and is hostile or buggy, costs a node, and a client that uses it meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from threading import Thread
from time import perf_counter, sleep
from typing import Any

import psutil

from fly_orm.deadline import Deadline
from fly_orm.errors import FlyOrmError
from fly_orm.forwarding.sealed_channel import SealedChannel, open_channel
from fly_orm.protocol.messages import Copy, Copying, Describe, Request, Run
from fly_orm.protocol.secret import Secrets
from fly_orm.topology import Node
from fly_orm_transports.pyro5.client import Pyro5Channel
from fly_orm_transports.pyro5.wire import CONNECT, HELLO, MessageStream
from tests.support.tables import Table

from ..duration import seconds
from ..report import ms
from ..world import NAME, SECRET, World, model
from .strangers import writing

#: Another machine, as far as the node is concerned.
ELSEWHERE = "127.0.0.2"


def run_of(statement: bytes, *, settings: bytes | None = None, **fields: Any) -> Callable[[], Run]:
    """Makes a request, each with a lease of its own."""
    given = {"session_settings": [] if settings is None else [settings], "statements": [statement], **fields}
    return lambda: Run(database=NAME, lease=os.urandom(16), opens_lease=True, **given)


def rows(value: str, number: int) -> bytes:
    """A query for so many rows."""
    return f"SELECT {value} FROM generate_series(1, {number}) g".encode()


def raising(level: str, text: str, times: int = 1) -> bytes:
    """A block that raises a text at a level."""
    return f"DO $$ BEGIN FOR i IN 1..{times} LOOP RAISE {level} '%', {text}; END LOOP; END $$".encode()


def copying(query: bytes) -> dict[str, Any]:
    """The arguments of :func:`run_of` for a COPY of a query."""
    return {"statement": b"COPY (" + query + b") TO STDOUT", "copy_out": True, "copy_out_in_pieces": True}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a peer asks for, on each of its channels at a time."""

    makes: Callable[[], Request]
    channels: int = 1


CASES = {
    "a result of 800 MB": Case(makes=run_of(rows("repeat('x', 1000000)", 800))),
    "one of 200 MB, three at a time": Case(makes=run_of(rows("repeat('x', 1000000)", 200)), channels=3),
    "31 MB of short values": Case(makes=run_of(rows(", ".join(["(g % 90 + 10)::text"] * 100), 50_000))),
    "a COPY with a row of 300 MB": Case(makes=run_of(**copying(b"SELECT repeat('x', 300000000)"))),
    "an error with a text of 12 MB": Case(makes=run_of(raising("EXCEPTION", "repeat('x', 12000000)"))),
    "300 MB of notices": Case(makes=run_of(raising("NOTICE", "repeat('x', 1000)", 300_000))),
    "session settings that sleep": Case(makes=run_of(b"SELECT 1", settings=b"SELECT pg_sleep(600)"), channels=12),
    "statements that sleep": Case(makes=run_of(b"SELECT pg_sleep(600)"), channels=12),
    "all channels there are": Case(makes=run_of(b"SELECT pg_sleep(600)"), channels=260),
    "which server there is": Case(makes=lambda: Describe(database=NAME), channels=150),
    "a statement with many '%('": Case(makes=run_of(b"UPDATE row SET number = 1 RETURNING " + b"%(" * 80_000)),
    "a statement behind 40 comments": Case(makes=run_of(b"/**/" * 40 + b"SELECT 1")),
}


class Elsewhere:
    """Opens channels as pyro5 does, from another address."""

    def connect(self, address: str, deadline: Deadline) -> Pyro5Channel:
        """A channel to the node."""
        host, _, port = address.rpartition(":")
        stream = MessageStream(socket.create_connection((host, int(port)), source_address=(ELSEWHERE, 0)))
        stream.send(CONNECT, 0, HELLO, deadline)
        return Pyro5Channel(stream, address)

    def serve(self, listen: str, accept: Any) -> Any:
        """Not called."""
        raise NotImplementedError

    def is_local(self, address: str) -> bool:
        """All is on one machine."""
        return True


def ask(channel: SealedChannel, makes: Callable[[], Request]) -> None:
    """Ask for it, and take all that there is."""
    request = makes()
    with suppress(FlyOrmError):
        reply = channel.request(request, Deadline.after(None))
        while isinstance(reply, Copying) and isinstance(request, Run):
            reply = channel.request(Copy(lease=request.lease), Deadline.after(None))


def attack(address: str, name: str) -> None:
    """Ask for what the case says. Ends when all is answered."""
    case, channels = CASES[name], []
    for _ in range(case.channels):
        with suppress(FlyOrmError):
            node, limit = Node(region="syd", address=address), Deadline.after(10)
            channels.append(open_channel(Elsewhere(), node, secrets=Secrets(SECRET), region="gru", deadline=limit))
    threads = [Thread(target=ask, args=(channel, case.makes), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(world: World) -> Table:
    """Each case lasts until all is answered, or for 5 seconds, unless SECONDS says otherwise."""
    duration, node = seconds(5), psutil.Process(world.reach["node pid"])
    found = []
    with world.lax() as lax:
        row = model(lax)
        row.create(name="first", number=0)
        for name in CASES:
            hostile = get_context("spawn").Process(target=attack, args=(world.reach["node"], name))
            peaks, started, cpu = [(0.0, 0, 0)], perf_counter(), node.cpu_times()
            with writing(row) as times:
                hostile.start()
                while hostile.is_alive() and perf_counter() < started + duration:
                    peaks.append((node.memory_info().rss / 2**20, node.num_threads(), node.num_fds()))
                    sleep(0.02)
                elapsed, after = perf_counter() - started, node.cpu_times()
                hostile.kill()
                hostile.join()
            used = (after.user + after.system - cpu.user - cpu.system) / elapsed
            memory, threads, descriptors = map(max, zip(*peaks, strict=True))
            times.sort()
            p99, errors = ms(times[int(0.99 * len(times))]), times.count(float("inf"))
            found.append((name, f"{memory:.0f}", threads, descriptors, f"{used:.0%}", errors, p99))
            sleep(1)
    return Table(
        title="what a peer with the secret asks for, and what becomes of a client at another address meanwhile",
        headings=(
            "asks for",
            "memory MiB",
            "threads",
            "descriptors",
            "CPU of a core",
            "errors",
            "p99 of its writes, ms",
        ),
        rows=found,
        result="aim: no errors",
    )
