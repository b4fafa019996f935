"""Whether 128 threads in four processes get all their work done, with the default timeouts."""

from __future__ import annotations

from time import sleep

from tests.support.tables import Table

from ..callers import callers
from ..duration import seconds
from ..world import World

PROCESSES, THREADS = 4, 32
RTT = 0.02


def run(world: World) -> Table:
    """For a minute, unless SECONDS says otherwise."""
    duration = seconds(60)
    with world.apart(RTT), callers(world.reach, processes=PROCESSES, threads=THREADS) as running:
        sleep(duration)
    counted = running.counted
    errors = [f"{number} × {error}" for error, number in counted.errors.most_common(5)]
    return Table(
        title=(
            f"{PROCESSES * THREADS} threads in {PROCESSES} processes for {duration:g} s, {RTT * 1000:.0f} ms apart: "
            "writes that are read back, transactions, functions and reads"
        ),
        headings=("", "steps", "per s", "p50 ms", "p99 ms", "longest ms"),
        rows=[("all", *counted.cells(duration))],
        result="\n  ".join(
            [f"{counted.errors.total()} errors, {counted.missed} reads without the write before; aim: none", *errors]
        ),
    )
