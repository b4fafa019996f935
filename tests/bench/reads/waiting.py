"""How long after a commit a thread that waits for it goes on, by each waiter on the same replica."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import repeat
from time import perf_counter
from typing import Any

from fly_orm.deadline import Deadline
from fly_orm.lsn import LSN
from fly_orm.testing import Cluster
from fly_orm.waiters import NativeWaiter, PollingWaiter
from tests.support import postgres19
from tests.support.tables import Table

from ..duration import times
from ..report import ms, percentile
from ..world import World

COMMITS, ROUNDS = times(3000), 6
PERCENTS = (50, 99, 99.9)

_COMMIT = "INSERT INTO waited VALUES (1)"
_FLUSHED = "SELECT pg_current_wal_flush_lsn()::text"


class _Spinning:
    """Asks without a pause: about the earliest that anybody can know, at the cost of a core."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connection = connect()
        self.close = self._connection.close

    def wait(self, lsn: LSN, _deadline: Deadline) -> None:
        with self._connection.cursor() as cursor:
            replayed = LSN(0)
            while replayed < lsn:
                cursor.execute("SELECT pg_last_wal_replay_lsn()::text")
                replayed = LSN.parse(cursor.fetchone()[0])


class _Counting:
    """Opens connections whose queries are counted."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.queries = 0

    def __call__(self) -> Any:
        connection = self._connect()
        counting = self
        base = connection.cursor_factory or type(connection.cursor())

        class Cursor(base):  # type: ignore[misc, valid-type]  # the driver's own class, found at run time
            def execute(self, *arguments: Any) -> None:
                counting.queries += 1
                super().execute(*arguments)

        connection.cursor_factory = Cursor
        return connection


def run(_world: World) -> Table:
    """With one writer and with eight, and on a replica that is late."""
    programs = postgres19.find_programs()
    kinds: list[Any] = [PollingWaiter, *([NativeWaiter] if programs else [])]
    with Cluster.start(programs=programs) as cluster:
        with closing(cluster.primary.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE waited (number integer)")
        rows = [
            row
            for name, threads, delay, chosen in (
                ("1 writer", 1, 0.0, [_Spinning, *kinds]),
                ("8 writers", 8, 0.0, kinds),
                ("8 writers, 20 ms late", 8, 0.02, kinds),
            )
            for row in _rows(cluster, name, threads, delay, chosen)
        ]
        version = cluster.replica.query("SHOW server_version")
    return Table(
        title=f"{COMMITS} commits by each waiter, by turns: from the commit's return until the wait's, in ms",
        headings=("replica", "waiter", *(f"p{percent}" for percent in PERCENTS), "queries/wait"),
        rows=rows,
        result=f"PostgreSQL {version}" + ("" if programs else f"; without the native waiter: {postgres19.NOT_FOUND}"),
    )


def _rows(cluster: Cluster, name: str, threads: int, delay: float, kinds: list[Any]) -> Iterator[tuple[object, ...]]:
    connects = [_Counting(cluster.replica.connect) for _ in kinds]
    waiters = [kind(connect) for kind, connect in zip(kinds, connects, strict=True)]
    took: list[list[float]] = [[] for _ in kinds]
    with cluster.apply_delay(delay), _writers(cluster, threads) as writers:
        for _ in range(ROUNDS):
            for waiter, times in zip(waiters, took, strict=True):
                times += _measure(writers, waiter, COMMITS // ROUNDS)
    for kind, connect, waiter, times in zip(kinds, connects, waiters, took, strict=True):
        waiter.close()
        figures = (ms(percentile(times, percent)) for percent in PERCENTS)
        yield name, kind.__name__.strip("_"), *figures, f"{connect.queries / len(times):.1f}"


@contextmanager
def _writers(cluster: Cluster, threads: int) -> Iterator[list[Any]]:
    connections = [cluster.primary.connect() for _ in range(threads)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def _measure(writers: list[Any], waiter: Any, commits: int) -> list[float]:
    start = threading.Barrier(len(writers))

    def work(connection: Any) -> list[float]:
        start.wait()
        with connection.cursor() as cursor:
            return [_one(cursor, waiter) for _ in repeat(None, commits // len(writers))]

    with ThreadPoolExecutor(len(writers)) as pool:
        return [seconds for times in pool.map(work, writers) for seconds in times]


def _one(cursor: Any, waiter: Any) -> float:
    cursor.execute(f"{_COMMIT}; COMMIT; {_FLUSHED}")
    lsn = LSN.parse(cursor.fetchone()[0])
    started = perf_counter()
    waiter.wait(lsn, Deadline.after(30))
    return perf_counter() - started
