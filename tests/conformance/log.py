"""Counts statements in a server's own log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Let a server log each statement that it has completed, with the database's name.
SETTINGS = {"log_min_duration_statement": 0, "log_line_prefix": "<%d> "}

_STATEMENT = re.compile(r"<(?P<database>[^>]*)> LOG:  duration: \S+ ms  statement: (?P<sql>.*)")
#: fly_orm asks for the replay LSN and for settings, and the ORMs look tables up before they create or drop them.
_ABOUT_THE_SERVER = re.compile(r"\bpg_|\bcurrent_setting\(")


def statements(lines: Iterable[str], database: str) -> Iterator[str]:
    """The statements that were completed in a database, each on one line."""
    sql: list[str] = []
    for line in lines:
        if line.startswith("\t"):  # it goes on
            sql += [line.strip()] if sql else []
            continue
        if sql:
            yield " ".join(sql)
        found = _STATEMENT.match(line)
        sql = [found["sql"].strip()] if found and found["database"] == database else []
    if sql:
        yield " ".join(sql)


def is_suites_select(sql: str) -> bool:
    """Whether a statement reads what the suite has stored, rather than something about the server."""
    return sql[:7].upper() == "SELECT " and _ABOUT_THE_SERVER.search(sql) is None


def selects(log: Path, database: str, offset: int = 0) -> int:
    """How many of a suite's SELECTs a server has completed in a database, by what its log has from an offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = (line.decode(errors="replace") for line in file)
        return sum(map(is_suites_select, statements(lines, database)))
