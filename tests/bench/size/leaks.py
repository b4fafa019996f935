"""Whether memory and work grow with the statement texts that were seen, and with the callers that wait.

Ten thousand texts that differ in a name are read and ten thousand are written; what a process learns about texts is
bounded, so that the second half must take no memory. Callers wait for a replica whose replay is paused; all of them are
served by one question at a time, so that the replica is asked equally often.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import perf_counter, process_time, sleep
from typing import Any

from tests.support.tables import Table
from tests.support.waiting import until

from ..duration import seconds, times
from ..plot import Line, Plot
from ..report import Report
from ..world import World, model
from ..writes.ways import connect
from .memory import size_of

TEXTS = times(10_000)
STEPS = 10
#: What may be noise (MiB).
FLAT = 1.0
WAITERS = (1, 8, 32, 128)
WINDOW = seconds(2, 0.5)


def run(world: World) -> Report:
    """Texts, then waiters."""
    with world.lax() as lax:
        cursor = lax.connection().cursor()
        model(lax).create(name="first", number=0)
        sizes = {name: _sizes(world, cursor.execute, text) for name, text in _TEXTS.items()}
    waiting = {number: _waiting(world, number) for number in WAITERS}
    return Report(tables=[_texts(sizes), _waiters(waiting)], plots=[_plot(sizes)])


_TEXTS: dict[str, Callable[[int], str]] = {
    "read on the replica": lambda number: f"SELECT name AS name_{number} FROM row WHERE id = {number}",
    "written on the primary": lambda number: f"UPDATE row AS row_{number} SET number = 1 WHERE row_{number}.id = 1",
}


def _sizes(world: World, execute: Any, text: Callable[[int], str]) -> dict[str, list[float]]:
    """The memory of both ends after each tenth of the texts."""
    pids, sizes = {"caller": os.getpid(), "node": world.reach["node pid"]}, {"caller": [], "node": []}
    for step in range(STEPS + 1):
        if step:
            for number in range((step - 1) * TEXTS // STEPS, step * TEXTS // STEPS):
                execute(text(number))
        gc.collect()
        for name, pid in pids.items():
            sizes[name].append(size_of(pid))
    return sizes


def _texts(sizes: dict[str, dict[str, list[float]]]) -> Table:
    rows, grown = [], 0.0
    for kind, by_process in sizes.items():
        for name, each in by_process.items():
            half = each[STEPS // 2]
            grown = max(grown, each[-1] - half)
            rows.append(
                (f"{name}, {kind}", *(f"{size:.1f}" for size in (each[0], half, each[-1])), f"{each[-1] - half:+.1f}")
            )
    return Table(
        title=f"memory (MiB) after {TEXTS} different statements",
        headings=("", "before", "after half", "after all", "in the second half"),
        rows=rows,
        result=f"{'flat' if grown <= FLAT else 'GROWING'} (aim: at most {FLAT:g} MiB in the second half)",
    )


def _plot(sizes: dict[str, dict[str, list[float]]]) -> Plot:
    return Plot(
        name="texts",
        message="Memory by the number of different statements seen",
        x_label="different statements",
        y_label="memory (MiB)",
        lines=[
            Line(name=f"{name}, {kind}", x=[step * TEXTS / STEPS for step in range(STEPS + 1)], y=each)
            for kind, by_process in sizes.items()
            for name, each in by_process.items()
        ],
    )


def _waiting(world: World, number: int) -> tuple[float, float, float]:
    """Questions to the replica, and processor time, a second while so many wait; and their memory (MiB)."""
    with world.lax() as lax, world.counted() as statements, ThreadPoolExecutor(number) as pool:
        row = model(lax)
        row.create(name="first", number=0)
        with closing(connect(world.reach["primary"])) as primary:
            before = _rows(primary)
            world.backstage.pause()
            try:
                running = [pool.submit(_write, lax, row) for _ in range(number)]
                until(lambda: _rows(primary) == before + number, "not all have written")
                sleep(0.2)
                asked, spent, started = statements()[1].calls, process_time(), perf_counter()
                sleep(WINDOW)
                took, spent, asked = perf_counter() - started, process_time() - spent, statements()[1].calls - asked
                memory = size_of(os.getpid())
                if any(each.done() for each in running):
                    raise AssertionError("a write returned while the replica replayed nothing")
            finally:
                world.backstage.resume()
        for each in running:
            each.result()
    return asked / took, spent / took, memory


def _rows(primary: Any) -> int:
    with primary.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM row")
        found: int = cursor.fetchone()[0]
    return found


def _write(lax: Any, row: Any) -> None:
    with lax.connection_context():
        row.create(name="waiting", number=1)


def _waiters(waiting: dict[int, tuple[float, float, float]]) -> Table:
    return Table(
        title="callers of one process that wait at the same time, while the replica replays nothing",
        headings=("callers", "questions a second to the replica", "processor time", "memory MiB"),
        rows=[
            (number, f"{asked:.0f}", f"{spent:.1%}", f"{memory:.1f}")
            for number, (asked, spent, memory) in waiting.items()
        ],
        result="aim: as many questions for all callers as for one",
    )
