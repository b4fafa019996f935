"""Commands that their first word identifies."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from . import session_settings, transactions
from .statement import Kind, Statement, write
from .temporary import create
from .token_reader import TokenReader

#: Commands that a READ ONLY transaction executes, but no replica (ClassifyUtilityCommandAsReadOnly in Postgres'
#: utility.c). VACUUM fails in any transaction, with an error that the primary knows.
REFUSED_IN_RECOVERY = frozenset({"analyse", "analyze", "cluster", "notify", "reindex", "vacuum"})


def command(tokens: list[str]) -> Statement:
    """The classification of a command; one that is unknown needs the primary."""
    first = tokens[0]
    if (known := _COMMANDS.get(first)) is not None:
        return known(TokenReader(tokens[1:]))
    found = write(first.upper() if _WRITES.fullmatch(first) else f"unknown command {first.upper()[:40]}")
    return replace(found, refused_in_recovery=first in REFUSED_IN_RECOVERY)


def _prepare(reader: TokenReader) -> Statement:
    if reader.peek() == "transaction":
        return Statement(kind=Kind.TWO_PHASE, why="PREPARE TRANSACTION")
    return write("PREPARE leaves a statement in the Postgres session", leaves_state=True)


def _declare(reader: TokenReader) -> Statement:
    hold = any(pair == ("with", "hold") for pair in pairwise(reader.tokens))
    return replace(write("DECLARE", leaves_state=hold, needs_transaction=not hold), opens_cursor=True)


def _plain(kind: Kind, why: str, **facts: Any) -> Callable[[TokenReader], Statement]:
    statement = Statement(kind=kind, why=why, **facts)
    return lambda reader: statement


_COMMANDS: dict[str, Callable[[TokenReader], Statement]] = {
    "abort": transactions.end(Kind.ROLLBACK),
    "begin": transactions.begin,
    "commit": transactions.end(Kind.COMMIT),
    "create": create,
    "declare": _declare,
    "discard": session_settings.discard,
    "end": transactions.end(Kind.COMMIT),
    "listen": _plain(Kind.LISTEN, "LISTEN"),
    "load": _plain(Kind.WRITE, "LOAD leaves a library in the Postgres session", leaves_state=True),
    "lock": _plain(Kind.WRITE, "LOCK", locks=True, needs_transaction=True),
    "prepare": _prepare,
    "release": _plain(Kind.RELEASE, "RELEASE"),
    "reset": session_settings.reset,
    "rollback": transactions.end(Kind.ROLLBACK),
    "savepoint": _plain(Kind.SAVEPOINT, "SAVEPOINT"),
    "set": session_settings.change,
    "show": _plain(Kind.READ, "SHOW", shows_setting=True),
    "start": transactions.start,
    "unlisten": _plain(Kind.UNLISTEN, "UNLISTEN"),
}
#: Listed only so that the explanation does not call them unknown. Commands that are not listed need the primary too.
_WRITES = re.compile(
    "alter|analy[sz]e|call|checkpoint|close|cluster|comment|deallocate|delete|do|drop|execute|fetch|grant|import|insert"
    "|merge|move|notify|reassign|refresh|reindex|revoke|security|truncate|update|vacuum"
)
