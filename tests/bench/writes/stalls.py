"""How long an eager write stalls at worst while others write and do not commit; see :mod:`tests.bench.writes.eager`."""

from __future__ import annotations

from tests.support.tables import Table

from ..world import World
from .eager import FLOOR, HEADINGS, OURS, RTT, UNITS, measure, rows, verdict

COMMITS, WORLDS, WRITES, OTHERS = 20_000, 8, 100, 5
STALL = 0.1


def run(first: World) -> Table:
    """Many by this project, and a few that do not wait to tell what the machine does."""
    turns = -(-COMMITS // (WRITES * WORLDS))
    above, busy = measure(first, worlds=WORLDS, turns=turns, writes={FLOOR: OTHERS, OURS: WRITES})
    stalls = sum(seconds > STALL for seconds in above[OURS])
    return Table(
        title=f"stalls of eager writes under uncommitted traffic, {RTT * 1000:.0f} ms round trip: {UNITS}",
        headings=HEADINGS,
        rows=rows(above),
        result=(
            f"fly_orm: {stalls} stalls over {STALL * 1000:.0f} ms in {len(above[OURS])} commits "
            f"(aim: none, {verdict(not stalls)}); cores {busy:.0f} % busy"
        ),
    )
