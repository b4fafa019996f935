"""What a ledger costs each write."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from fly_orm.ledger.table import create_sql
from tests.support.tables import Table

from ..duration import times
from ..report import median_ms
from ..world import World, model

RTTS = (0.0, 0.08)
REPETITIONS = {0.0: times(300), 0.08: times(15, 3)}


def run(world: World) -> Table:
    """The same writes by turns, with and without a ledger."""
    rows: list[tuple[object, ...]] = []
    with world.on_primary() as primary:
        primary.execute_sql(create_sql())
    with world.lax() as plain, world.lax(exactly_once=True) as recorded:
        for rtt in RTTS:
            with world.apart(rtt):
                for name, work in (("one insert", _insert), ("atomic() with two", _transaction)):
                    rows.append(_row(world, f"{name}, {rtt * 1000:.0f} ms apart", work, (plain, recorded), rtt))
    return Table(
        title="Writes with and without a ledger (exactly_once)",
        headings=("write", "round trips", "ms", "round trips, ledger", "ms, ledger", "ratio"),
        rows=rows,
        result="aim: no round trip more",
    )


def _row(world: World, name: str, work: Callable[[Any], None], pair: tuple[Any, Any], rtt: float) -> tuple[object, ...]:
    for database in pair:
        work(database)  # connects
    times: tuple[list[float], list[float]] = [], []
    trips = [0, 0]
    for _ in range(REPETITIONS[rtt]):
        for index, database in enumerate(pair):
            before = world.backstage.round_trips()[0]
            started = perf_counter()
            work(database)
            times[index].append(perf_counter() - started)
            trips[index] += world.backstage.round_trips()[0] - before
    each = [f"{count / REPETITIONS[rtt]:.1f}" for count in trips]
    ratio = f"{median(times[1]) / median(times[0]):.2f}"
    return name, each[0], median_ms(times[0]), each[1], median_ms(times[1]), ratio


def _insert(database: Any) -> None:
    model(database).create(name="recorded", number=1)


def _transaction(database: Any) -> None:
    with database.atomic():
        _insert(database)
        _insert(database)
