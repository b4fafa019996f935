"""What statements may change in the Postgres session through the functions that they call."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import psycopg2

from ..classify import Kind, SessionChange, Statement
from ..classify.called_functions import EXECUTE_TEXT
from ..classify.session_change import LOCKS, NOTHING, STICKS, may_change_anything
from ..deadline import now
from ..local.primary import DEFINITIONS_TTL
from ..postgres.cursors import text_cursor
from ..postgres.session_functions import change_of, read_custom_settings, read_definitions

_WHY = "a function that it calls leaves state in the Postgres session"
_OUTSIDE = "a function that it calls acts outside of the database"
_MOST_REMEMBERED = 10_000
#: What a name may do that is of no function here: it may be new, and not have reached the replica.
_UNKNOWN = may_change_anything("")
#: Functions of extensions that change a setting.
_OF_EXTENSIONS = {"set_limit": SessionChange(settings=frozenset({"pg_trgm.similarity_threshold"}))}


class SessionFunctions:
    """What the functions of one database may change. Thread-safe.

    named: the functions that the application has named, with or without their schema, and the settings that each one
    changes; None if it leaves other state too.
    primary_functions: those that it has named because they need the primary.
    """

    def __init__(self, named: Mapping[str, Iterable[str] | None], primary_functions: Iterable[str] = ()) -> None:
        self._named = _OF_EXTENSIONS | dict.fromkeys(EXECUTE_TEXT, _UNKNOWN)
        self._named |= {_base(name): _named_change(settings) for name, settings in named.items()}
        self._primary = frozenset(map(_base, primary_functions))
        self._lock = threading.Lock()
        self._known: dict[str, SessionChange] = {}
        self._custom_settings: frozenset[str] | None = None
        self._expires_at = 0.0

    def examined(self, statement: Statement, connection: Any) -> Statement:
        """The statement with what its functions may change; one that leaves state counts as a write.

        ``connection`` is a driver connection to this region's server, which is asked about functions that are not known
        yet.
        """
        changes = statement.changes
        if statement.user_calls:
            changes |= self._change(statement.user_calls, connection)
        if changes.anything:
            changes |= SessionChange(settings=self.read_custom_settings(connection))
        if changes.anything and statement.opens_cursor:
            changes |= LOCKS  # nobody looks for locks on the replica when rows are fetched
        if changes == NOTHING:
            return statement
        if not (changes.needs_primary or changes.acts_outside):
            return replace(statement, changes=changes)
        reads = statement.kind in (Kind.READ, Kind.SET)
        why = _WHY if changes.needs_primary else _OUTSIDE
        return replace(
            statement,
            changes=changes,
            kind=Kind.WRITE if reads else statement.kind,
            why=why if reads else statement.why,
            leaves_state=statement.leaves_state or changes.sticks,
        )

    def forget(self) -> None:
        """Look at definitions again, since one has changed."""
        self._expires_at = 0.0

    def _change(self, names: frozenset[str], connection: Any) -> SessionChange:
        if self._expires_at <= now() or len(self._known) > _MOST_REMEMBERED:
            with self._lock:
                self._known, self._custom_settings = dict(self._named), None
                self._expires_at = now() + DEFINITIONS_TTL
        known = self._known
        if missing := names - known.keys():
            known = known | self._look_up(missing, known, connection)
        change = NOTHING
        for name in names:
            change |= known[name]
        return change

    def _look_up(
        self, names: frozenset[str], known: dict[str, SessionChange], connection: Any
    ) -> dict[str, SessionChange]:
        """What the functions of these names may change; it is remembered if the server could be asked."""
        try:
            with text_cursor(connection) as cursor:
                definitions = read_definitions(cursor, names)
        except psycopg2.Error:  # the replica has cancelled it, or a transaction there has failed
            return dict.fromkeys(names, _UNKNOWN)
        changes = {
            name: change_of(name, definitions, self._named, self._primary) if name in definitions else _UNKNOWN
            for name in names
        }
        known.update(changes)
        return changes

    def read_custom_settings(self, connection: Any) -> frozenset[str]:
        if self._custom_settings is None:
            try:
                with text_cursor(connection) as cursor:
                    self._custom_settings = read_custom_settings(cursor)
            except psycopg2.Error:
                return frozenset()
        return self._custom_settings


def _base(name: str) -> str:
    return name.lower().rpartition(".")[2]


def _named_change(settings: Iterable[str] | None) -> SessionChange:
    return STICKS if settings is None else SessionChange(settings=frozenset(map(str.lower, settings)))
