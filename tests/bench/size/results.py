"""What a large result takes: time, and the peak of memory of the caller and of the node, next to psycopg2.

The query runs on the primary. Each caller is a process of its own that reads all rows, adds up their lengths, which
have to be right, and keeps none of them. The peak is over what the process had before the query.
"""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import get_context
from time import sleep
from typing import Any

from tests.support.tables import Table

from ..duration import is_quick
from ..plot import Line, Plot
from ..report import Report
from ..world import World
from ..writes.ways import Place
from .reader import DIRECT, FORWARDED, NAMED, forget_peak, peak, read, resident

TIMEOUT = 120.0
_COLUMNS = ", ".join(f"repeat('{number}', 10)" for number in range(8))
#: Rows, the bytes of the text in each, and the columns.
RESULTS = {
    "1,000 rows × 8": (1_000, 80, _COLUMNS),
    "100,000 rows × 8": (100_000, 80, _COLUMNS),
    "20 MB" if is_quick() else "200 MB": (20_000 if is_quick() else 200_000, 1_000, "repeat('x', 1000)"),
}


def run(world: World) -> Report:
    """Each result in each way, with a node of its own."""
    rows, peaks = [], {}
    for name, (number, width, columns) in RESULTS.items():
        pid, address = world.backstage.another_node()
        place = replace(Place.near(world), node=address)
        sql = f"SELECT {columns} FROM generate_series(1, {number})"
        for way in (DIRECT, FORWARDED, NAMED):
            seconds, caller, node = _read(way, place, sql, pid, (number, number * width))
            peaks[way] = caller, node
            rows.append((f"{name}: {way}", f"{seconds:.2f}", f"{caller:.0f}", "" if way == DIRECT else f"{node:.0f}"))
    table = Table(
        title="a result of the primary: what it takes until its last row is read",
        headings=("", "s", "peak of the caller, MiB", "peak of the node, MiB"),
        rows=rows,
        result="aim: 200 MB delivered, at a peak of the node of at most 32 MiB",
    )
    plot = Plot(
        name="results",
        message=f"A result of {name}: the peak of memory over what there was before",
        x_label="memory (MiB)",
        bars=list(peaks),
        lines=[
            Line(name="caller", x=[], y=[round(caller, 1) for caller, _ in peaks.values()]),
            Line(name="node", x=[], y=[0 if way == DIRECT else round(node, 1) for way, (_, node) in peaks.items()]),
        ],
    )
    return Report(tables=[table], plots=[plot])


def _read(way: str, place: Place, sql: str, node: int, expected: tuple[int, int]) -> tuple[float, float, float]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=read, args=(theirs, way, place, sql), daemon=True)
    sleep(0.5)
    forget_peak(node)
    before = resident(node)
    process.start()
    theirs.close()
    if not ours.poll(TIMEOUT):
        process.kill()
        raise TimeoutError(f"{way}: nothing was read within {TIMEOUT:g} s")
    heard: Any = ours.recv()
    process.join()
    rows, size, seconds, caller = heard
    if (rows, size) != expected:
        raise AssertionError(f"{way}: {rows} rows of {size} bytes, not {expected}")
    return seconds, caller, peak(node) - before
