"""Whether the memory of a node and of its callers stays flat while they work."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import sleep

import psutil

from tests.support.tables import Table

from ..callers import callers
from ..duration import seconds
from ..world import World

PROCESSES, THREADS, PAUSE = 2, 8, 0.02
#: Memory is looked at so many times, at even intervals. The first third is for what grows once, such as caches.
SAMPLES = 30
#: What may be noise (MiB).
FLAT = 4.0


def run(world: World) -> Table:
    """For ten minutes, unless SECONDS says otherwise."""
    duration = seconds(600)
    with callers(world.reach, processes=PROCESSES, threads=THREADS, pause=PAUSE) as running:
        processes = {"the node": world.reach["node pid"]}
        processes |= {f"caller {number}": pid for number, pid in enumerate(running.pids, 1)}
        sizes: dict[str, list[float]] = {name: [] for name in processes}
        threads: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(SAMPLES):
            sleep(duration / SAMPLES)
            for name, pid in processes.items():
                process = psutil.Process(pid)
                sizes[name].append(process.memory_info().rss / 2**20)
                threads[name].append(process.num_threads())
    counted = running.counted
    grown = {name: _later(each) - _early(each) for name, each in sizes.items()}
    return Table(
        title=f"resident memory (MiB) over {duration:g} s, {len(counted.took)} steps of {PROCESSES * THREADS} threads",
        headings=("", "after a third", "at the end", "grown", "most", "threads"),
        rows=[
            (name, f"{_early(each):.1f}", f"{_later(each):.1f}", f"{grown[name]:+.1f}", f"{max(each):.1f}",
             f"{threads[name][-1]:.0f}")
            for name, each in sizes.items()
        ],
        result=(
            f"{'flat' if max(grown.values()) <= FLAT else 'GROWING'} (aim: at most {FLAT:g} MiB); "
            f"{counted.errors.total()} errors, {counted.missed} reads without the write before"
        ),
    )  # fmt: skip


def _early(sizes: Sequence[float]) -> float:
    return median(sizes[SAMPLES // 3 : SAMPLES // 2])


def _later(sizes: Sequence[float]) -> float:
    return median(sizes[-SAMPLES // 6 :])
