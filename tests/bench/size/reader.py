"""A process that reads one large result, and tells what it took. Run by the benchmark of results."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import fly_orm

from ..writes.ways import Place, connect

DIRECT, FORWARDED, NAMED = "psycopg2", "fly_orm", "fly_orm, named cursor"
ITERSIZE = 2000


def forget_peak(pid: int | str = "self") -> None:
    """Let the peak of a process be what it has now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int | str = "self") -> float:
    """The most memory that a process has had since (MiB)."""
    return _status(pid, "VmHWM")


def resident(pid: int | str = "self") -> float:
    """The memory that a process has (MiB)."""
    return _status(pid, "VmRSS")


def read(out: Any, way: str, place: Place, sql: str) -> None:
    """Send how many rows there were, of how many bytes, the seconds, and the peak (MiB) over what was there before."""
    with closing(connect(place.primary)) as direct:
        if way == DIRECT:
            out.send(_measured(direct.cursor(), sql))
            return
    parameters = dict(place.replica)
    import peewee

    from ..world import lax_settings

    plain = peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters)
    database = fly_orm.wrap(plain, settings=lax_settings(place.node))
    with fly_orm.primary(), database.connection_context():
        connection = database.connection()
        connection.cursor().execute("SELECT 1")  # channels are opened
        if way == FORWARDED:
            out.send(_measured(connection.cursor(), sql))
        else:
            connection.autocommit = False  # psycopg2 allows named cursors only then
            cursor = connection.cursor("large")
            cursor.itersize = ITERSIZE
            out.send(_measured(cursor, sql))
            connection.commit()
    database._fly_orm.close()


def _measured(cursor: Any, sql: str) -> tuple[int, int, float, float]:
    forget_peak()
    before, started = resident(), perf_counter()
    cursor.execute(sql)
    rows = size = 0
    for row in cursor:
        rows += 1
        size += sum(len(value) for value in row if isinstance(value, str))
    return rows, size, perf_counter() - started, peak() - before


def _status(pid: int | str, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024
