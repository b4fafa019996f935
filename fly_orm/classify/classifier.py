"""Classifies SQL texts, which may hold several statements, and remembers the results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Protocol

from .do_blocks import with_block
from .grammar import Grammar
from .lexer import UnterminatedError, split_statements, with_escapes_marked
from .names import with_names
from .session_change import may_change_anything
from .snapshots import has_snapshot_after
from .statement import ENDS, SETTING_CHANGES, TRANSACTION_CONTROL, Kind, Statement
from .unreadable import unreadable

_CACHED_TEXTS = 4096
_LONGEST_CACHED_CHARS = 8192


class Session(Protocol):
    """A driver connection, as far as the meaning of a text depends on it."""

    def get_parameter_status(self, parameter: str, /) -> str | None: ...


class Classifier:
    """Classifies SQL texts, and caches the results. Any thread may call.

    primary_functions: the names of the user's functions that need the primary, with or without their schema.
    """

    def __init__(self, primary_functions: Iterable[str] = ()) -> None:
        self._grammar = Grammar(primary_functions)
        # Texts with a backslash, which may mean something else to a session with other settings, are apart.
        self._cache: dict[str, Statement] = {}
        self._standard: dict[str, Statement] = {}
        self._escaping: dict[str, Statement] = {}

    def __call__(self, sql: str, session: Session | None = None) -> Statement:
        """The classification of ``sql``: one statement or several, as psycopg2 accepts them, placeholders included.

        ``session`` is the connection whose ``standard_conforming_strings`` counts; without one, it is on. Never raises:
        a text that cannot be parsed needs the primary and may do anything.
        """
        # Without a lock: at worst, two threads classify the same text, with the same result.
        return self._cache.get(sql) or self._uncached(sql, session)

    def once(self, sql: str, session: Session | None = None) -> Statement:
        """As a call; for a text that may not come again, and which is not cached therefore."""
        if "\\" not in sql or session is None:
            return self._classified(sql)
        return self._classified(sql, escaping=session.get_parameter_status("standard_conforming_strings") == "off")

    def remembers(self, sql: str) -> bool:
        """Whether the classification of a text is cached, and is the same in every session."""
        return sql in self._cache

    def _uncached(self, sql: str, session: Session | None) -> Statement:
        if "\\" not in sql:
            return self._classify_and_cache(sql, self._cache)
        if session is None or session.get_parameter_status("standard_conforming_strings") != "off":
            return self._standard.get(sql) or self._classify_and_cache(sql, self._standard)
        return self._escaping.get(sql) or self._classify_and_cache(sql, self._escaping)

    def _classify_and_cache(self, sql: str, cache: dict[str, Statement]) -> Statement:
        statement = self._classified(sql, escaping=cache is self._escaping)
        if len(sql) <= _LONGEST_CACHED_CHARS:
            if len(cache) >= _CACHED_TEXTS:
                cache.clear()  # evicting the oldest text would cost bookkeeping on every hit
            cache[sql] = statement
        return statement

    def _classified(self, sql: str, *, escaping: bool = False) -> Statement:
        statement = self._classify(with_escapes_marked(sql) if escaping else sql, escaping=escaping)
        return replace(statement, asynchronous=True) if _may_set_synchronous_commit(statement, sql) else statement

    def _classify(self, sql: str, *, escaping: bool) -> Statement:
        try:
            parts = split_statements(sql)
            found = with_names([self._grammar.statement(tokens) for tokens in parts], parts, sql)
            blocks = any(tokens[0] == "do" for tokens in parts)
        except UnterminatedError as error:
            return unreadable(sql, str(error))
        if not found:
            return Statement(kind=Kind.READ, why="nothing to run")
        statement = found[0] if len(found) == 1 else _several(found)
        if blocks and escaping:  # the code, too, has escapes in its literals
            statement = replace(statement, changes=statement.changes | may_change_anything(sql))
        return with_block(statement, sql) if blocks else statement


def _may_set_synchronous_commit(statement: Statement, sql: str) -> bool:
    """Whether a statement may change ``synchronous_commit``, which a DO block or ALTER ROLE can do as well."""
    unknown = statement.changes.sticks or (statement.kind in SETTING_CHANGES and statement.name is None)
    return unknown or "synchronous_commit" in sql.lower() or "synchronous_commit" in (statement.name or "")


def _several(found: list[Statement]) -> Statement:
    """The classification of several statements in one string, which run on one server and in one transaction."""
    why = f"{len(found)} statements in one string"
    kinds = {statement.kind for statement in found}
    copy = next((statement.copy for statement in found if statement.copy), None)
    for kind in (Kind.TWO_PHASE, Kind.LISTEN):
        if kind in kinds:
            return Statement(kind=kind, why=why)
    user_calls = frozenset().union(*(statement.user_calls for statement in found))
    snapshot = has_snapshot_after(found)
    if kinds <= {Kind.READ, Kind.SERVER}:
        calls = frozenset().union(*(statement.function_names for statement in found))
        kind = Kind.SERVER if Kind.SERVER in kinds else Kind.READ
        shows = any(statement.shows_setting for statement in found)
        return Statement(
            kind=kind,
            why=why,
            copy=copy,
            function_names=calls,
            shows_setting=shows,
            user_calls=user_calls,
            takes_snapshot=snapshot,
        )
    changes = reduce(or_, (statement.session_changes for statement in found))
    reset = ",".join(statement.name for statement in found if statement.resets and statement.name)
    controls = tuple(statement for statement in found if statement.kind in TRANSACTION_CONTROL)
    return Statement(
        kind=Kind.WRITE,
        why=why,
        name=reset or None,
        leaves_state=changes.sticks or any(statement.leaves_state for statement in found),
        locks=any(statement.locks for statement in found),
        refused_in_recovery=any(statement.refused_in_recovery for statement in found),
        primary_only=any(statement.primary_only for statement in found),
        resets=bool(reset),
        resets_all=any(statement.resets_all for statement in found),
        changes=changes,
        copy=copy,
        begins_transaction=Kind.BEGIN in kinds,
        ends_transaction=not kinds.isdisjoint(ENDS),
        controls=controls,
        user_calls=user_calls,
        defines_functions=any(statement.defines_functions for statement in found),
        takes_snapshot=snapshot,
    )
