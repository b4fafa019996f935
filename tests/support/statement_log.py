"""The statements that a server has executed, as its own log has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.waiting import until

_ENTRY = re.compile(r"^<(?P<database>[^>]*)> LOG:  statement: (?P<sql>.*(?:\n\t.*)*)", re.MULTILINE)


@contextmanager
def logged(server: Any, database: str) -> Iterator[Callable[[], list[str]]]:
    """What returns the statements that were executed in a database since it was last called."""
    for sql in ("log_statement TO 'all'", "log_line_prefix TO '<%d> '"):
        server.query(f"ALTER SYSTEM SET {sql}")
    _reload(server, "all")
    at = server.log.stat().st_size

    def statements() -> list[str]:
        nonlocal at
        with server.log.open() as log:
            log.seek(at)
            text = log.read()
            at = log.tell()
        return [entry["sql"] for entry in _ENTRY.finditer(text) if entry["database"] == database]

    try:
        yield statements
    finally:
        for name in ("log_statement", "log_line_prefix"):
            server.query(f"ALTER SYSTEM RESET {name}")
        _reload(server, "none")


def _reload(server: Any, value: str) -> None:
    server.query("SELECT pg_reload_conf()")
    until(lambda: server.query("SHOW log_statement") == value)
