"""Commands that are told by their first word."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from . import session_settings as settings
from . import transactions
from .reader import Reader
from .statement import Kind, Statement, write
from .temporary import create


def command(part: list[str]) -> Statement:
    """What the command of these tokens is; a write if it is unknown."""
    first = part[0]
    if (known := _COMMANDS.get(first)) is not None:
        return known(Reader(part[1:]))
    return write(first.upper() if _WRITES.fullmatch(first) else f"unknown command {first.upper()[:40]}")


def _prepare(reader: Reader) -> Statement:
    if reader.peek() == "transaction":
        return Statement(kind=Kind.TWO_PHASE, why="PREPARE TRANSACTION")
    return write("PREPARE leaves a statement in the session", pins=True)


def _declare(reader: Reader) -> Statement:
    hold = any(pair == ("with", "hold") for pair in pairwise(reader.tokens))
    return write("DECLARE", pins=hold)


def _plain(kind: Kind, why: str, *, pins: bool = False) -> Callable[[Reader], Statement]:
    statement = Statement(kind=kind, why=why, pins=pins)
    return lambda reader: statement


_COMMANDS: dict[str, Callable[[Reader], Statement]] = {
    "abort": transactions.end(Kind.ROLLBACK),
    "begin": transactions.begin,
    "commit": transactions.end(Kind.COMMIT),
    "create": create,
    "declare": _declare,
    "discard": settings.discard,
    "end": transactions.end(Kind.COMMIT),
    "listen": _plain(Kind.LISTEN, "LISTEN"),
    "load": _plain(Kind.WRITE, "LOAD leaves a library in the session", pins=True),
    "prepare": _prepare,
    "release": _plain(Kind.RELEASE, "RELEASE"),
    "reset": settings.reset,
    "rollback": transactions.end(Kind.ROLLBACK),
    "savepoint": _plain(Kind.SAVEPOINT, "SAVEPOINT"),
    "set": settings.change,
    "show": _plain(Kind.READ, "SHOW"),
    "start": transactions.start,
    "unlisten": _plain(Kind.UNLISTEN, "UNLISTEN"),
}
#: Named only so that they are not called unknown: whatever is not listed anywhere is a write too.
_WRITES = re.compile(
    "alter|analy[sz]e|call|checkpoint|close|cluster|comment|deallocate|delete|do|drop|execute|fetch|grant|import|insert"
    "|lock|merge|move|notify|reassign|refresh|reindex|revoke|security|truncate|update|vacuum"
)
