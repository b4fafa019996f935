"""Whether reads on the local replica see the writes before them, and whether they would miss them without waiting."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from tests.support.pairs import write_and_read
from tests.support.tables import Table

from ..duration import times
from ..world import World, model

PAIRS, THREADS = times(2000), 8


def run(world: World) -> Table:
    """Near, far, and with a replica that is late."""
    settings = [
        ("0 ms", "write", 0.0, 0.0),
        ("80 ms", "write", 0.08, 0.0),
        ("0 ms, replay 40 ms late", "write", 0.0, 0.04),
        ("0 ms, replay 40 ms late", "none", 0.0, 0.04),
    ]
    return Table(
        title=f"{PAIRS} writes by {THREADS} threads, each followed by a read on the local replica",
        headings=("round trip", "wait=", "pairs", "read locally", "missed", "pairs/s"),
        rows=[_row(world, *setting) for setting in settings],
        result="aim: 0 missed with waiting, and some without, or the rows above would show nothing",
    )


def _row(world: World, name: str, wait: Any, rtt: float, delay: float) -> tuple[object, ...]:
    with world.apart(rtt), world.lax(wait=wait) as lax:
        world.backstage.set_apply_delay(delay)
        try:
            started = perf_counter()
            done = write_and_read(lax, model(lax), pairs=PAIRS, threads=THREADS)
            seconds = perf_counter() - started
        finally:
            world.backstage.set_apply_delay(0)
    return name, wait, done.pairs, done.local, done.missed, f"{done.pairs / seconds:.0f}"
