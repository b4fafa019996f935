"""What importing fly_orm costs a process, next to importing peewee."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from tests.support.tables import Table

from ..duration import times
from ..world import World

PROCESSES = times(9, 3)
_WRAP = (
    "import peewee, fly_orm; from fly_orm import Settings; from fly_orm.topology import Topology;"
    "settings = Settings(topology=Topology(region='syd', primary_region='syd'));"
    "fly_orm.wrap(peewee.PostgresqlDatabase('shop'), settings=settings)"
)
_PROGRAMS = {
    "import peewee": "import peewee",
    "import peewee, fly_orm": "import peewee, fly_orm",
    "and wrap a database in the primary region": _WRAP,
}
_TELL = "import sys, time; print(time.process_time(), open('/proc/self/statm').read().split()[1], len(sys.modules))"
_PAGE_BYTES = 4096


def run(_world: World) -> Table:
    """Each program in processes of its own."""
    return Table(
        title=f"what imports cost ({PROCESSES} processes each)",
        headings=("", "processor time", "memory", "modules"),
        rows=[(name, *_imported(program)) for name, program in _PROGRAMS.items()],
        result="aim: import fly_orm at most 60 ms more than peewee",
    )


def _imported(program: str) -> tuple[str, str, str]:
    found = []
    for _ in range(PROCESSES):
        command = [sys.executable, "-c", f"{program}\n{_TELL}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(value) for value in shown.stdout.split()])
    seconds, pages, modules = (median(values) for values in zip(*found, strict=True))
    return f"{seconds * 1000:.0f} ms", f"{pages * _PAGE_BYTES / 2**20:.0f} MiB", f"{modules:.0f}"
