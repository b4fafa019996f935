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

from ..report import us
from ..world import World, model

#: Both kinds of read go over one connection, since two server processes are never equally lucky with their cores.
CONNECTIONS, READS = 10, 1000
_SELECT = "SELECT id, name, number FROM row WHERE id = %s"

Read = Callable[[], object]
Opens = Callable[[], AbstractContextManager[Any]]


def run(world: World) -> Table:
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
    return Table(
        title=f"read by primary key on the local server ({CONNECTIONS} connections, {READS} reads each)",
        headings=("", "wrapped µs", "unwrapped µs", "more µs", "more"),
        rows=rows,
        result="aim: at most 3 µs more on a replica",
    )


def _row(
    name: str, wrapped_there: Opens, plain_there: Opens, reader: Callable[[Any, int], Read], key: int
) -> tuple[str, ...]:
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
    more = median(wrapped) - median(plain)
    return (name, us(median(wrapped)), us(median(plain)), us(more), f"{more / median(plain):+.1%}")


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
