"""What wrapping adds to a read on the local replica."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from .report import Table, us
from .world import World, model

BLOCKS, READS = 40, 300
_SELECT = "SELECT id, name, number FROM row WHERE id = %s"


def run(world: World) -> Table:
    """By turns: a block of wrapped reads, a block of unwrapped ones."""
    rows: list[tuple[object, ...]] = []
    with world.lax() as lax, world.replica() as replica:
        wrapped, plain = model(lax), model(replica)
        key = wrapped.create(name="somebody", number=1).id
        cases = [
            ("cursor.execute + fetchall", _through_cursor(lax, key), _through_cursor(replica, key)),
            ("Model.get_by_id", lambda: wrapped.get_by_id(key), lambda: plain.get_by_id(key)),
        ]
        for name, read_wrapped, read_plain in cases:
            with_us, without = _measure(read_wrapped, read_plain)
            more = with_us - without
            rows.append((name, us(with_us), us(without), us(more), f"{more / without:+.1%}"))
    return Table(
        title=f"read by primary key on the local replica ({BLOCKS} blocks of {READS} each)",
        headings=("", "wrapped µs", "unwrapped µs", "more µs", "more"),
        rows=rows,
        result="aim: at most 5 % or 10 µs more",
    )


def _through_cursor(database: Any, key: int) -> Callable[[], object]:
    connection = database.connection()

    def read() -> object:
        cursor = connection.cursor()
        cursor.execute(_SELECT, (key,))
        return cursor.fetchall()

    return read


def _measure(wrapped: Callable[[], object], plain: Callable[[], object]) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    for block in range(BLOCKS):
        for read, seconds in zip((wrapped, plain), taken, strict=True):
            for _ in range(READS):
                started = perf_counter()
                read()
                if block:
                    seconds.append(perf_counter() - started)
    return median(taken[0]), median(taken[1])
