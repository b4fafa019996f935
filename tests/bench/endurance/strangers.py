"""What floods of strangers cost a node, a client that uses it meanwhile, and one that connects from far away."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import get_context
from time import perf_counter, sleep
from typing import Any

import psutil

from fly_orm.deadline import Deadline
from fly_orm.errors import NotDelivered
from fly_orm.forwarding.sealed_channel import open_channel
from fly_orm.protocol.handshake import ClientHandshake
from fly_orm.protocol.secret import Secrets
from fly_orm.registry import make_transport
from fly_orm.settings import Settings
from fly_orm.testing import Wan
from fly_orm.topology import Node
from fly_orm_transports.pyro5.wire import CONNECT, HELLO, INVOKE, frame
from tests.support.tables import Table

from ..duration import seconds
from ..report import ms
from ..world import SECRET, World, model

RATE = 3000
RTT = 0.3
#: Sockets that a hostile process keeps open at a time.
HELD = 2000
GREETING = frame(CONNECT, 0, HELLO)
KINDS = ("nobody", "silent", "a byte a second", "a hello", "a hello of another secret")
CASES = [(KINDS[0], 0), *((kind, addresses) for kind in KINDS[1:] for addresses in (1, 2, 50))]


def first_flight(kind: str) -> bytes:
    """What a stranger sends as soon as it has connected."""
    if kind == "a byte a second":
        return GREETING[:1]
    if kind == "silent":
        return b""
    secret = SECRET if kind == "a hello" else SECRET[::-1]
    return GREETING + frame(INVOKE, 1, ClientHandshake(Secrets(secret)).hello)


def flood(host: str, port: int, kind: str, addresses: int, duration: float, opened: Any) -> None:
    """Open connections at RATE from so many addresses of this machine, and keep the newest of them."""
    data, held, end = first_flight(kind), deque[socket.socket](), perf_counter() + duration
    started, dripped = perf_counter(), perf_counter()
    for number in count(1):
        if perf_counter() >= end:
            break
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((f"127.0.1.{1 + number % addresses}", 0))
        sock.connect_ex((host, port))
        with suppress(OSError):
            sock.send(data)
        held.append(sock)
        if len(held) > HELD:
            held.popleft().close()
        if kind == "a byte a second" and perf_counter() - dripped > 1:
            dripped = perf_counter()
            for each, byte in zip(held, GREETING, strict=False):
                with suppress(OSError):
                    each.send(bytes([byte]))
        opened.value = number
        sleep(max(0.0, number / RATE - (perf_counter() - started)))


@contextmanager
def writing(row: Any) -> Iterator[list[float]]:
    """The times (seconds) of the writes of a client while the block lasts; an error is infinite."""
    times: list[float] = []
    stop = threading.Event()

    def write() -> None:
        for number in count():
            started = perf_counter()
            try:
                row.create(name="meanwhile", number=number)
            except Exception:
                times.append(float("inf"))
            else:
                times.append(perf_counter() - started)
            if stop.wait(0.005):
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


def newcomers(address: str, duration: float) -> tuple[int, int]:
    """How many channels were opened from RTT away, one after the other, and how many attempts there were."""
    transport, opened = make_transport("pyro5", Settings()), 0
    end = perf_counter() + duration
    for attempt in count(1):
        with suppress(NotDelivered):
            limit, node = Deadline.after(2), Node(region="syd", address=address)
            open_channel(transport, node, secrets=Secrets(SECRET), region="lax", deadline=limit).close()
            opened += 1
        if perf_counter() >= end:
            return opened, attempt
    raise AssertionError


def run(world: World) -> Table:
    """Each flood lasts for 3 seconds, unless SECONDS says otherwise."""
    duration, node = seconds(3), psutil.Process(world.reach["node pid"])
    host, _, port = world.reach["node"].rpartition(":")
    rows = []
    with world.lax() as lax, Wan(world.reach["node"], rtt=RTT) as far:
        row = model(lax)
        row.create(name="first", number=0)
        for kind, addresses in CASES:
            opened = get_context("spawn").Value("i", 0)
            hostile = get_context("spawn").Process(
                target=flood, args=(host, int(port), kind, addresses, duration + 2, opened)
            )
            if addresses:
                hostile.start()
                while not opened.value:
                    sleep(0.01)
            cpu, started = node.cpu_times(), perf_counter()
            with writing(row) as times:
                admitted, attempts = newcomers(far.address, duration)
            elapsed, after = perf_counter() - started, node.cpu_times()
            used = (after.user + after.system - cpu.user - cpu.system) / elapsed
            memory, threads, descriptors = node.memory_info().rss / 2**20, node.num_threads(), node.num_fds()
            if addresses:
                hostile.join()
            times.sort()
            rows.append(
                (
                    f"{kind}, {addresses} addresses" if addresses else kind,
                    f"{opened.value / (duration + 2):.0f}" if addresses else "",
                    f"{memory:.0f}",
                    threads,
                    descriptors,
                    f"{used:.0%}",
                    times.count(float("inf")),
                    ms(times[int(0.99 * len(times))]),
                    f"{admitted} of {attempts}",
                )
            )
            sleep(1)
    return Table(
        title=f"strangers that open up to {RATE} connections a second, and what becomes of others meanwhile",
        headings=(
            "each sends",
            "opened/s",
            "memory MiB",
            "threads",
            "descriptors",
            "CPU of a core",
            "errors of a client",
            "p99 of its writes, ms",
            f"admitted from {RTT * 1000:.0f} ms away",
        ),
        rows=rows,
        result="aim: no errors, and all that come from far away admitted",
    )
