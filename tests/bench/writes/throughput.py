"""How many inserts a second one process in lax gets done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from tests.support.tables import Table

from ..world import World, model

#: Half before and half after the other side's turn.
SECONDS = 2.0


def run(world: World) -> Table:
    """By number of threads and distance."""
    rows = [_row(world, rtt, threads) for rtt in (0.0, 0.02) for threads in (1, 8, 32)]
    return Table(
        title="inserts per second of one process, against peewee straight to the primary, which waits for no replica",
        headings=("round trip", "threads", "fly_orm", "direct", "ratio"),
        rows=rows,
    )


def _row(world: World, rtt: float, threads: int) -> tuple[object, ...]:
    with world.apart(rtt), world.lax() as lax, world.direct() as direct:
        wrapped = straight = 0.0
        for _ in range(2):
            wrapped += _rate(lax, threads) / 2
            straight += _rate(direct, threads) / 2
    return f"{rtt * 1000:.0f} ms", threads, f"{wrapped:.0f}", f"{straight:.0f}", f"{wrapped / straight:.2f}"


def _rate(database: Any, threads: int) -> float:
    row = model(database)

    def work(_: int) -> int:
        with database.connection_context():
            row.create(name="first", number=0)  # connects
            inserts, end = 0, perf_counter() + SECONDS / 2
            while perf_counter() < end:
                row.create(name="throughput", number=inserts)
                inserts += 1
        return inserts

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (SECONDS / 2)
