"""What TLS costs: a connection, and exchanges of few and of many bytes, as CPU time of both ends together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from fly_orm.deadline import Deadline
from fly_orm.settings import Settings
from fly_orm_transports.pyro5 import Pyro5Transport
from tests.support.certificates import Certificates
from tests.support.tables import Table

from ..report import percentile
from ..world import World
from .transports_node import Echo

#: What is exchanged, and how often in a turn.
SIZES = {"an exchange of 200 bytes": (200, 400), "an exchange of 1 MB": (1_000_000, 10)}
CONNECTIONS, TURNS = 50, 5


def run(world: World) -> Table:
    """The table. The echo is in this process, so that its clock counts both ends; both take turns."""
    with tempfile.TemporaryDirectory() as folder:
        plain, secured = Side({}), Side(Certificates(Path(folder)).settings())
        rows = []
        try:
            for name, works in [
                ("a connection", [(side.connect, CONNECTIONS) for side in (plain, secured)]),
                *((name, [(side.exchanges(size), 1) for side in (plain, secured)]) for name, size in SIZES.items()),
            ]:
                rows.append((name, *_compared(works, SIZES.get(name, (0, 1))[1])))
        finally:
            plain.close()
            secured.close()
    return Table(
        title="TLS (pyro5): CPU time of both ends, and the time that it took, medians in ms",
        headings=("", "CPU without", "CPU with TLS", "time without", "time with TLS"),
        rows=rows,
    )


class Side:
    """An echo with or without TLS, and a way to it."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._transport = Pyro5Transport(Settings(**settings))  # type: ignore[arg-type]
        self._server = self._transport.serve("127.0.0.1:0", lambda _peer: Echo())
        self._channel = self._transport.connect(self._server.address, _soon())

    def connect(self) -> None:
        """Open a channel, and use it once."""
        channel = self._transport.connect(self._server.address, _soon())
        channel.exchange(b"hello", _soon())
        channel.close()

    def exchanges(self, size: tuple[int, int]) -> Callable[[], None]:
        """Exchanges over one channel."""
        message = b"x" * size[0]

        def work() -> None:
            for _ in range(size[1]):
                self._channel.exchange(message, _soon())

        return work

    def close(self) -> None:
        self._channel.close()
        self._server.close(0)


def _compared(works: list[tuple[Callable[[], None], int]], parts: int) -> list[str]:
    cpu: list[list[float]] = [[] for _ in works]
    time: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for index, (work, repeat) in enumerate(works):
            for _ in range(repeat):
                cpu_before, before = process_time(), perf_counter()
                work()
                cpu[index].append((process_time() - cpu_before) / parts)
                time[index].append((perf_counter() - before) / parts)
    return [f"{1000 * percentile(each, 50):.3f}" for each in (*cpu, *time)]


def _soon() -> Deadline:
    return Deadline.after(30)
