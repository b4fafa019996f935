"""What many inserts cost: one by one, in one transaction, and in one function that runs in the primary region."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter, sleep
from typing import Any

import fly_orm
from tests.support.tables import Table

from ..duration import times
from ..report import median_ms, ms
from ..work import Row, insert
from ..world import World

RTT = 0.08
ROWS = times(200)
REPETITIONS = times(15, 3)


def run(world: World) -> Table:
    """The same inserts in all ways; function and floor by turns, the slow ways once."""
    there: list[float] = []
    called: list[float] = []
    with world.apart(RTT), world.lax() as lax, world.on_primary() as primary:
        fly_orm.configure(lax._fly_orm.settings)
        with Row.bind_ctx(lax):
            for _ in range(3):
                insert(1)  # channels are opened, some of them in the background
            sleep(1)
            before = world.backstage.round_trips()[0]
            for _ in range(REPETITIONS):
                called.append(_timed(insert, ROWS))
                with Row.bind_ctx(primary):
                    there.append(_timed(insert.local, ROWS))
            trips = (world.backstage.round_trips()[0] - before) / REPETITIONS
            one_by_one = _timed(insert.local, ROWS)
            with lax.atomic():
                started = perf_counter()
                insert.local(ROWS)
            atomic = perf_counter() - started
    floor = median(there) + RTT
    return Table(
        title=f"{ROWS} inserts, {RTT * 1000:.0f} ms round trip (function and floor: medians of {REPETITIONS})",
        headings=("", "ms", "of the floor"),
        rows=[
            ("the function, called in the primary region", median_ms(there), ""),
            ("floor: that, and one round trip", ms(floor), "1.00"),
            ("@on_primary from lax, which then shows it", median_ms(called), f"{median(called) / floor:.2f}"),
            ("in one atomic() from lax", ms(atomic), f"{atomic / floor:.0f}"),
            ("one by one from lax", ms(one_by_one), f"{one_by_one / floor:.0f}"),
        ],
        result=f"{trips:g} round trips a call; aim: one, and at most 1.5 times the floor",
    )


def _timed(work: Callable[..., Any], *args: Any) -> float:
    started = perf_counter()
    work(*args)
    return perf_counter() - started
