"""Statements told apart, and remembered."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .grammar import Grammar
from .lexer import UnterminatedError, statements
from .savepoints import with_name
from .statement import Kind, Statement, write

_MEMO_STATEMENTS = 4096
_MEMO_LONGEST_CHARS = 8192


class Classifier:
    """Tells statements apart, remembering the texts it has seen. Any thread may call.

    primary_functions: names of further functions that need the primary, with or without their schema.
    """

    def __init__(self, primary_functions: Iterable[str] = ()) -> None:
        self._grammar = Grammar(primary_functions)
        self._memo: dict[str, Statement] = {}

    def __call__(self, sql: str) -> Statement:
        """What ``sql`` is: a statement, or several, as psycopg2 takes them, placeholders included. Never raises."""
        return self._memo.get(sql) or self._remember(sql)

    def _remember(self, sql: str) -> Statement:
        statement = self._classify(sql)
        if len(sql) <= _MEMO_LONGEST_CHARS:
            if len(self._memo) >= _MEMO_STATEMENTS:
                self._memo.clear()
            self._memo[sql] = statement
        return statement

    def _classify(self, sql: str) -> Statement:
        if len(sql) > _MEMO_LONGEST_CHARS and _is_bulk_insert(sql):
            return write("bulk INSERT")
        try:
            found = [self._grammar.statement(part) for part in statements(sql)]
        except UnterminatedError as error:
            return write(str(error))
        if len(found) == 1:
            return with_name(found[0], sql)
        return _several(found) if found else Statement(kind=Kind.READ, why="nothing to run")


_INSERT = re.compile(r"[ \t\n\r\f]*insert[ \t\n\r\f]", re.IGNORECASE)


def _is_bulk_insert(sql: str) -> bool:
    """Whether rows, megabytes of them, need no lexing: no second statement, no call that leaves something behind."""
    if not _INSERT.match(sql):
        return False
    text = sql.lower()
    return not any(mark in text for mark in (";", "set_config", "_lock", "dblink", "_setup"))


def _several(found: list[Statement]) -> Statement:
    """What statements in one string are together: they run in one place, and in one transaction."""
    why = f"{len(found)} statements in one string"
    kinds = {statement.kind for statement in found}
    copy = next((statement.copy for statement in found if statement.copy), None)
    for kind in (Kind.TWO_PHASE, Kind.LISTEN):
        if kind in kinds:
            return Statement(kind=kind, why=why)
    if kinds <= {Kind.READ, Kind.SERVER}:
        calls = frozenset().union(*(statement.function_names for statement in found))
        return Statement(
            kind=Kind.SERVER if Kind.SERVER in kinds else Kind.READ, why=why, copy=copy, function_names=calls
        )
    pins = Kind.SET in kinds or any(statement.pins for statement in found)
    ends = not kinds.isdisjoint({Kind.COMMIT, Kind.ROLLBACK})
    return Statement(kind=Kind.WRITE, why=why, pins=pins, copy=copy, ends_transaction=ends)
