"""How many writes a second a node gets done with one worker and with two, at the same address.

Bias: four client processes, the servers and both workers share these cores. Where they are two, a second worker can
only take time that the clients and the servers would have had, so that little more gets done. What the table shows then
is that a second worker costs nothing; with more cores, compare again.
"""

from __future__ import annotations

from dataclasses import replace

import psutil

from tests.support.tables import Table

from .. import processor
from ..duration import is_quick
from ..world import World
from .clients import Done, clients
from .ways import Place

SECONDS = 0.5 if is_quick() else 2.0
WORKERS, CALLERS, PROCESSES = (1, 2), (8, 32, 128), 4
WAY = "fly_orm: cursor"
#: Enough for two workers.
POOL = 20


def run(world: World) -> Table:
    """The same clients, by turns."""
    nodes = {each: world.backstage.another_node("--workers", str(each), "--pool-size", str(POOL)) for each in WORKERS}
    rows = []
    with clients(PROCESSES) as who:
        for callers in CALLERS:
            for workers, (pid, address) in nodes.items():
                place = replace(Place.near(world), node=address)
                before = _spent(pid)
                done = who.write(WAY, place, callers=callers, seconds=SECONDS)
                rows.append((callers, workers, *_cells(done, _spent(pid) - before)))
    return Table(
        title=f"writes a second by workers of one node, {PROCESSES} client processes, 0 ms apart",
        headings=("callers", "workers", "writes/s", "cores of the node", "not shown on return", "errors"),
        rows=rows,
    )


def _cells(done: Done, spent: float) -> tuple[object, ...]:
    return f"{done.rate:.0f}", f"{spent / done.seconds:.2f}", done.missed, len(done.errors)


def _spent(pid: int) -> float:
    """Of the supervisor and its workers."""
    family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return sum(map(processor.spent, family))
