"""Where the processor time of a write goes: caller, node, primary and replica, and how often threads switch for it.

Each way writes with 8 threads of one process, next to each other, while the processes are looked at from outside: the
time that the system has noted for each of them, and how often their threads have stopped running, to wait or because
others were to run. What the cores did besides is the system's own work in between, the benchmark, and to idle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

from fly_orm.testing.processes import children
from tests.support.tables import Table
from tests.support.waiting import until

from .. import processor
from ..duration import seconds
from ..report import us
from ..world import NAME, World
from .clients import Clients, clients
from .ways import Place, connect

CALLERS, WARM_UP = 8, 200
SECONDS = seconds(4, 1)
WAYS = {"by hand": "by hand: flush LSN, poll every 2 ms", "cursor": "fly_orm: cursor", "peewee": "fly_orm: peewee"}
#: What the names of server processes contain, by row.
_PRIMARY = {"primary: statements": f" {NAME} ", "primary: WAL sender": "walsender"}
_REPLICA = {"replica: questions": f" {NAME} ", "replica: replay": "startup", "replica: WAL receiver": "walreceiver"}
ROWS = ("caller", "node", *_PRIMARY, *_REPLICA)


class Spent(NamedTuple):
    """What processes have spent."""

    seconds: float = 0.0
    switches: float = 0


class Budget(NamedTuple):
    """What one write takes."""

    rows: Mapping[str, Spent]
    cores: float
    """The time of all cores, whatever they did."""


def run(world: World) -> Table:
    """The ways, one after another."""
    with clients(1) as one:
        found = {name: _measured(world, one, way) for name, way in WAYS.items()}
    budgets = found.values()
    rows: list[tuple[object, ...]] = [
        (row, *(cell for each in budgets for cell in _cells(each.rows[row]))) for row in ROWS
    ]
    together = [sum(spent.seconds for spent in each.rows.values()) for each in budgets]
    rows.append(("together", *(cell for each in together for cell in (us(each), ""))))
    rows.append(("all cores", *(cell for each in budgets for cell in (us(each.cores), ""))))
    return Table(
        title=f"where the processor time of a write goes, {CALLERS} callers in one process, 0 ms apart",
        headings=("", *(heading for name in WAYS for heading in (f"{name} µs", "switches"))),
        rows=rows,
    )


def _cells(spent: Spent) -> tuple[str, str]:
    return us(spent.seconds), f"{spent.switches:.1f}"


def _measured(world: World, who: Clients, way: str) -> Budget:
    with closing(connect(world.reach["primary"])) as primary, primary.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        begun = _written(cursor)
        # They go on until they have been looked at twice, and then for a while.
        writing = pool.submit(who.write, way, Place.near(world), callers=CALLERS, seconds=2 * SECONDS + 1)
        until(lambda: writing.done() or _written(cursor) > begun + WARM_UP, "nothing was written")
        groups = {"caller": who.pids, "node": [world.reach["node pid"]]}
        groups |= _servers(world.reach["primary"], _PRIMARY) | _servers(world.reach["replica"], _REPLICA)
        before, written, started = _spent(groups), _written(cursor), perf_counter()
        sleep(SECONDS)
        after, written, took = _spent(groups), _written(cursor) - written, perf_counter() - started
        writing.result()
    more = {row: _more(before[row], after[row], written) for row in ROWS}
    return Budget(more, took * (os.cpu_count() or 1) / written)


def _written(cursor: Any) -> int:
    cursor.execute("SELECT last_value FROM row_id_seq")
    found: int = cursor.fetchone()[0]
    return found


def _servers(parameters: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, list[int]]:
    """The processes of a Postgres server, by row."""
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        lock_file = Path(cursor.fetchone()[0], "postmaster.pid")
    titles = {pid: _title(pid) for pid in children(int(lock_file.read_text().split()[0]))}
    return {row: [pid for pid, title in titles.items() if part in title] for row, part in names.items()}


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _spent(groups: Mapping[str, list[int]]) -> dict[str, dict[int, Spent]]:
    """What each process has spent so far."""
    spent: dict[str, dict[int, Spent]] = {row: {} for row in groups}
    for row, pids in groups.items():
        for pid in pids:
            with suppress(OSError):  # it has ended
                spent[row][pid] = Spent(processor.spent(pid), _switches(pid))
    return spent


def _switches(pid: int) -> int:
    """How often the threads of a process have stopped running (proc_pid_status(5))."""
    statuses = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/status")]
    lines = [line for status in statuses for line in status.splitlines() if "voluntary_ctxt_switches" in line]
    return sum(int(line.split()[1]) for line in lines)


def _more(before: Mapping[int, Spent], after: Mapping[int, Spent], writes: int) -> Spent:
    """What one write has taken, of the processes that were there before and after."""
    both = before.keys() & after.keys()
    return Spent(
        sum(after[pid].seconds - before[pid].seconds for pid in both) / writes,
        sum(after[pid].switches - before[pid].switches for pid in both) / writes,
    )
