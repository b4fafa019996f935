"""What wrapping adds to a read on the local replica, and in the primary region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from psycopg2 import extensions as ext

from tests.support.tables import Table

from ..duration import times
from ..plot import Line, Plot
from ..report import Report, us
from ..world import World, model

#: Both kinds of read go over one connection, since two server processes are never equally lucky with their cores.
CONNECTIONS, READS = times(10, 3), times(1000)
_SELECT = "SELECT id, name, number FROM row WHERE id = %s"

Read = Callable[[], object]
Opens = Callable[[], AbstractContextManager[Any]]


def run(world: World) -> Report:
    """One wrapped read, one unwrapped read, and so on."""
    with world.lax() as lax:
        key = model(lax).create(name="somebody", number=1).id
    readers = {"cursor.execute + fetchall": _through_cursor, "get_by_id": _by_id}
    regions = {"on a replica": (world.lax, world.replica), "on the primary": (world.syd, world.on_primary)}
    rows = [
        _row(f"{name} {where}", *databases, reader, key)
        for where, databases in regions.items()
        for name, reader in readers.items()
    ]
    table = Table(
        title=f"read by primary key on the local server ({CONNECTIONS} connections, {READS} reads each)",
        headings=("", "wrapped µs", "unwrapped µs", "more µs", "more"),
        rows=[
            (name, us(wrapped), us(plain), us(wrapped - plain), f"{wrapped / plain - 1:+.1%}")
            for name, wrapped, plain in rows
        ],
        result="aim: at most 3 µs more on a replica",
    )
    plot = Plot(
        name="local_reads",
        message="A read by primary key on the local server, unwrapped and wrapped (medians)",
        x_label="time (µs)",
        bars=[name for name, *_ in rows],
        lines=[
            Line(name=name, x=[], y=[round(row[column] * 1e6, 1) for row in rows])
            for name, column in (("unwrapped", 2), ("wrapped", 1))
        ],
    )
    return Report(tables=[table], plots=[plot])


def _row(
    name: str, wrapped_there: Opens, plain_there: Opens, reader: Callable[[Any, int], Read], key: int
) -> tuple[str, float, float]:
    wrapped: list[float] = []
    plain: list[float] = []
    for _ in range(CONNECTIONS):
        with wrapped_there() as database, plain_there() as other:
            routed = database.connection()
            # What the same connection is without us: psycopg2's own method makes psycopg2's own cursors.
            unrouted = SimpleNamespace(cursor=partial(ext.connection.cursor, routed), close=lambda: None)
            other._state.set_connection(unrouted)
            reads = reader(database, key), reader(other, key)
            _measure(reads, 20)  # what is seen for the first time is looked at more closely
            seconds = _measure(reads, READS)
            wrapped += seconds[0]
            plain += seconds[1]
    return name, median(wrapped), median(plain)


def _through_cursor(database: Any, key: int) -> Read:
    connection = database.connection()

    def read() -> object:
        cursor = connection.cursor()
        cursor.execute(_SELECT, (key,))
        return cursor.fetchall()

    return read


def _by_id(database: Any, key: int) -> Read:
    row = model(database)
    return lambda: row.get_by_id(key)


def _measure(reads: Sequence[Read], count: int) -> tuple[list[float], ...]:
    """What each of the reads took, in seconds, every time."""
    taken: tuple[list[float], ...] = tuple([] for _ in reads)
    for _ in range(count):
        for read, seconds in zip(reads, taken, strict=True):
            started = perf_counter()
            read()
            seconds.append(perf_counter() - started)
    return taken
