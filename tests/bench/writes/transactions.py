"""What a transaction costs by the number of its statements."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

from tests.support.tables import Table

from ..report import median_ms
from ..world import World, model

RTT = 0.08
REPETITIONS = 5


def run(world: World) -> Table:
    """The same transactions by turns, through fly_orm and straight to the primary."""
    rows: list[tuple[object, ...]] = []
    with world.apart(RTT), world.lax() as lax, world.direct() as direct:
        for database in (lax, direct):
            _transaction(database, 1)  # connects
        for statements in (1, 5, 10):
            wrapped, straight = [], []
            before = world.backstage.round_trips()
            for _ in range(REPETITIONS):
                wrapped.append(_transaction(lax, statements))
                straight.append(_transaction(direct, statements))
            trips = [(after - b) / REPETITIONS for after, b in zip(world.backstage.round_trips(), before, strict=True)]
            rows.append(
                (
                    statements,
                    f"{trips[0]:g}",
                    median_ms(wrapped),
                    f"{trips[1]:g}",
                    median_ms(straight),
                    f"{median(wrapped) / median(straight):.2f}",
                )
            )
    return Table(
        title=f"atomic() with N inserts, {RTT * 1000:.0f} ms round trip, against peewee straight to the primary",
        headings=("N", "round trips", "ms", "round trips, direct", "ms, direct", "ratio"),
        rows=rows,
        result="aim: N + 1 round trips",
    )


def _transaction(database: Any, statements: int) -> float:
    row = model(database)
    started = perf_counter()
    with database.atomic():
        for number in range(statements):
            row.create(name="in a transaction", number=number)
    return perf_counter() - started
