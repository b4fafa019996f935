"""What a write that waits for its replica costs above its floor, while others write on the primary and do not commit.

The floor is the same insert without a wait: one round trip. The replica's stream travels for half of one, like the
reply, so that a perfect wait adds about nothing. Three ways of waiting take turns with it, over the same servers:

a. this project;
b. the insert LSN, then one statement on the replica that looks every 50 ms, as fly_postgres does (its statement is one
   for all who wait, and so in the midst of a sleep when a write comes; this one looks at once, which is kinder);
c. the flush LSN, then a query on the replica every 10 ms.

Bias: floor, (b) and (c) go straight to the primary and ask for the LSN in the same round trip, so only (a) pays for an
RPC and a serving node; the second row says how much. Each world has one writer, which is the hardest case for a wait:
commits of others would flush the WAL that it waits for. Worlds share the machine and nothing else. Without fsync, WAL
is flushed sooner than on a disk, which is kind to (b).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from statistics import median
from threading import Event
from time import perf_counter, sleep
from typing import Any

import psutil
import psycopg2

from tests.support.tables import Table

from ..duration import times
from ..report import ms, percentile
from ..world import World, model, world
from .ways import WAIT_FOR_REPLAY

RTT = 0.08
WORLDS, TURNS, WRITES = 4, times(25), times(10)
AIM = 0.005
PERCENTS = (50, 99, 99.9)

#: Two transactions at a time write for two seconds and are rolled back: a row every millisecond, 100 kB every 100 ms.
_TRAFFIC = tuple(
    f"BEGIN; DO $$ BEGIN FOR i IN 1..{times} LOOP INSERT INTO traffic SELECT repeat('x', {size}) "
    f"FROM generate_series(1, {rows}); PERFORM pg_sleep({pause}); END LOOP; END $$; ROLLBACK"
    for times, rows, size, pause in ((2000, 1, 20, 0.001), (20, 100, 1000, 0.1))
)
_INSERT = "BEGIN; INSERT INTO row (name, number) VALUES ('eager', 0); COMMIT; SELECT {}::text"
_FLUSHED, _INSERTED = _INSERT.format("pg_current_wal_flush_lsn()"), _INSERT.format("pg_current_wal_insert_lsn()")

FLOOR, NONE, OURS, LOOP, POLL = (
    "floor: psycopg2, no wait",
    'fly_orm with wait="none"',
    "a. fly_orm",
    "b. insert LSN, server-side loop of 50 ms",
    "c. flush LSN, poll every 10 ms",
)

UNITS = "ms above the floor's median"
HEADINGS = ("", "writes", *(f"p{percent}" for percent in PERCENTS), "longest")

Write = Callable[[], object]
Wait = Callable[[Any, str], None]


def run(first: World) -> Table:
    """All by turns, in some worlds at a time."""
    above, busy = measure(
        first, worlds=WORLDS, turns=TURNS, writes=dict.fromkeys((FLOOR, NONE, OURS, LOOP, POLL), WRITES)
    )
    p99 = percentile(above[OURS], 99)
    return Table(
        title=f"autocommit insert under uncommitted traffic, {RTT * 1000:.0f} ms round trip: {UNITS}",
        headings=HEADINGS,
        rows=rows(above),
        result=(
            f"fly_orm: p99 {ms(p99)} ms above the floor (aim: at most {AIM * 1000:.0f}, {verdict(p99 <= AIM)}); "
            f"cores {busy:.0f} % busy"
        ),
    )


def rows(above: Mapping[str, Sequence[float]]) -> list[tuple[object, ...]]:
    """The figures under HEADINGS."""
    return [
        (name, len(each), *(ms(percentile(each, percent)) for percent in PERCENTS), ms(max(each)))
        for name, each in above.items()
    ]


def verdict(met: bool) -> str:
    """Whether an aim is met, in a word."""
    return "met" if met else "missed"


def measure(
    first: World, *, worlds: int, turns: int, writes: Mapping[str, int]
) -> tuple[dict[str, list[float]], float]:
    """Seconds above the floor of each way, which writes so often in each turn, and how busy the cores were (%)."""
    stopped = Event()
    with ExitStack() as stack:
        regions = [first, *(stack.enter_context(world()) for _ in range(worlds - 1))]
        pool = stack.enter_context(ThreadPoolExecutor(worlds))
        stack.callback(stopped.set)
        psutil.cpu_percent()
        parts = list(pool.map(lambda each: _turns(each, turns, writes, stopped), regions))
        return {name: [seconds for part in parts for seconds in part[name]] for name in writes}, psutil.cpu_percent()


def _turns(regions: World, turns: int, writes: Mapping[str, int], stopped: Event) -> dict[str, list[float]]:
    """Seconds above the floor that each way took in one world, unless it is stopped before the end."""
    above: dict[str, list[float]] = {name: [] for name in writes}
    with regions.apart(RTT), _ways(regions) as ways, _traffic(regions):
        for turn in range(-1, turns):
            took = {
                name: [_timed(ways[name]) for _ in range(number) if not stopped.is_set()]
                for name, number in writes.items()
            }
            if stopped.is_set():
                break
            if turn >= 0:  # before that, channels are opened
                floor = median(took[FLOOR])
                for name, seconds in took.items():
                    above[name] += [each - floor for each in seconds]
    return above


def _timed(write: Write) -> float:
    started = perf_counter()
    write()
    return perf_counter() - started


@contextmanager
def _ways(regions: World) -> Iterator[dict[str, Write]]:
    """Inserts that return at once, or when the replica is known to show the row."""
    with regions.lax(wait="none") as lazy, regions.lax() as eager, ExitStack() as stack:

        def direct(insert: str, wait: Wait) -> Write:
            there, here = (_cursor(regions, where, stack) for where in ("direct", "replica"))

            def write() -> None:
                there.execute(insert)
                wait(here, there.fetchone()[0])

            return write

        _cursor(regions, "primary", stack).execute(f"CREATE TABLE IF NOT EXISTS traffic (data text); {WAIT_FOR_REPLAY}")
        yield {
            FLOOR: direct(_FLUSHED, lambda here, lsn: None),
            NONE: partial(model(lazy).create, name="eager", number=0),
            OURS: partial(model(eager).create, name="eager", number=0),
            LOOP: direct(_INSERTED, lambda here, lsn: here.execute("SELECT wait_for_replay(%s)", (lsn,))),
            POLL: direct(_FLUSHED, _poll),
        }


def _poll(here: Any, lsn: str) -> None:
    while True:
        here.execute("SELECT pg_last_wal_replay_lsn() >= %s", (lsn,))
        if here.fetchone()[0]:
            return
        sleep(0.01)


@contextmanager
def _traffic(regions: World) -> Iterator[None]:
    """Transactions that write all the time and never commit, as long as the block lasts."""
    over = Event()

    def work(cursor: Any, sql: str) -> None:
        with suppress(psycopg2.errors.QueryCanceled):
            while not over.is_set():
                cursor.execute(sql)

    with ExitStack() as stack:
        cursors = [_cursor(regions, "primary", stack) for _ in _TRAFFIC]
        pool = stack.enter_context(ThreadPoolExecutor(len(cursors)))
        working = [pool.submit(work, cursor, sql) for cursor, sql in zip(cursors, _TRAFFIC, strict=True)]
        try:
            yield
        finally:
            over.set()
            for cursor in cursors:
                cursor.connection.cancel()
        for each in working:
            each.result()


def _cursor(regions: World, where: str, stack: ExitStack) -> Any:
    connection = stack.enter_context(closing(psycopg2.connect(**regions.reach[where])))
    connection.autocommit = True
    return connection.cursor()
