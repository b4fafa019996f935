"""How long a write takes, by distance, next to other ways of writing over the same servers.

All ways take turns on each of some threads, so that all have the same company. The further apart the regions are, the
more threads there are, which costs few writes a second, and yields enough of them for the last percentile. After each
write, and outside of its time, a plain connection looks whether the replica shows the row.

Bias: the ways without fly_orm go straight to the primary; only fly_orm pays for an RPC and a serving node. They ask
for the position in the same round trip. Writers flush each other's WAL, which is kind to those that wait for the insert
LSN; the benchmark ``eager`` has the opposite. The network delays each byte by half a round trip, and loses none.
Without fsync, WAL is flushed sooner than on a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import perf_counter

from tests.support.tables import Table

from ..duration import times
from ..plot import Line, Plot
from ..report import Report, ms, percentile
from ..world import World
from .ways import WAIT_FOR_REPLAY, WAYS, Opens, Place, connect

#: Threads by round trip (seconds).
DISTANCES = {0.0: 1, 0.02: 4, 0.08: 16, 0.2: 32}
WRITES, WARM_UP = times(1000, 32), 2
PERCENTS = (50, 95, 99, 99.9)
FLOOR, OURS = "floor: psycopg2, then the replica without a pause", "fly_orm: peewee"
CHOSEN = tuple(name for name in WAYS if not any(word in name for word in ("pooled", "PgBouncer", "cursor")))


@dataclass(kw_only=True)
class Taken:
    """The writes of one way at one distance."""

    seconds: list[float] = field(default_factory=list)
    missed: int = 0
    """Those that the replica did not show when they had returned."""

    def at(self, percent: float) -> float:
        """The percentile (seconds)."""
        return percentile(self.seconds, percent)


def run(world: World) -> Report:
    """A table for each distance."""
    with closing(connect(world.reach["primary"])) as primary:
        primary.cursor().execute(WAIT_FOR_REPLAY)
    found = {rtt: _measured(world, rtt, threads) for rtt, threads in DISTANCES.items()}
    return Report(tables=[_table(rtt, taken) for rtt, taken in found.items()], plots=_plots(found))


def _measured(world: World, rtt: float, threads: int) -> dict[str, Taken]:
    with world.apart(rtt), ExitStack() as stack, ThreadPoolExecutor(threads) as pool:
        opens = {name: stack.enter_context(WAYS[name](Place.far(world))) for name in CHOSEN}
        cycles = -(-WRITES // threads)
        parts = list(pool.map(lambda number: _turns(world, opens, number, cycles), range(threads)))
    merged = {name: Taken() for name in CHOSEN}
    for part in parts:
        for name, taken in part.items():
            merged[name].seconds += taken.seconds
            merged[name].missed += taken.missed
    return merged


def _turns(world: World, opens: Mapping[str, Opens], number: int, cycles: int) -> dict[str, Taken]:
    """Each thread begins with another way, so that not all of them use the same one at a time."""
    names = [*CHOSEN[number % len(CHOSEN) :], *CHOSEN[: number % len(CHOSEN)]]
    taken = {name: Taken() for name in names}
    with ExitStack() as stack:
        writes = {name: stack.enter_context(opens[name]()) for name in names}
        here = stack.enter_context(closing(connect(world.reach["replica"]))).cursor()
        for cycle in range(-WARM_UP, cycles):
            for name in names:
                started = perf_counter()
                made = writes[name]()
                took = perf_counter() - started
                here.execute("SELECT count(*) FROM row WHERE id = %s", (made,))
                if cycle >= 0:
                    taken[name].seconds.append(took)
                    taken[name].missed += here.fetchone()[0] == 0
    return taken


def _table(rtt: float, found: Mapping[str, Taken]) -> Table:
    floor = found[FLOOR]
    more = [f"{found[OURS].at(percent) / floor.at(percent):.3f}" for percent in (50, 99)]
    return Table(
        title=(
            f"one inserted row, {rtt * 1000:.0f} ms round trip, {DISTANCES[rtt]} threads, "
            f"{len(floor.seconds)} writes each: ms"
        ),
        headings=("", *(f"p{percent}" for percent in PERCENTS), "median over the floor's", "not shown on return"),
        rows=[
            (
                name,
                *(ms(taken.at(percent)) for percent in PERCENTS),
                ms(taken.at(50) - floor.at(50)),
                taken.missed,
            )
            for name, taken in found.items()
        ],
        result=f"peewee, eager, over the floor: p50 {more[0]}, p99 {more[1]} (aim at 80 ms: at most 1.02 and 1.05)",
    )


def _plots(found: Mapping[float, Mapping[str, Taken]]) -> Sequence[Plot]:
    rtts = list(found)
    shown = [name for name in CHOSEN if name != FLOOR and not name.startswith("direct")]
    return [
        Plot(
            name="latency",
            message="What a write takes beyond its round trip, in 99 of 100 cases",
            x_label="round trip to the primary region (ms)",
            y_label="99th percentile less one round trip (ms)",
            lines=[
                Line(
                    name=name.partition(",")[0] if name.startswith("fly_postgres") else name,
                    x=[rtt * 1000 for rtt in rtts],
                    y=[(found[rtt][name].at(99) - rtt) * 1000 for rtt in rtts],
                    dashed=not name.startswith("fly_orm"),
                )
                for name in shown
            ],
        ),
        Plot(
            name="latency_80",
            message="A write at 80 ms: the median, and what 99 of 100 do not exceed",
            x_label="time (ms)",
            bars=list(CHOSEN),
            lines=[
                Line(name=f"p{percent}", x=[], y=[round(found[0.08][name].at(percent) * 1000, 1) for name in CHOSEN])
                for percent in (50, 99)
            ],
        ),
    ]
