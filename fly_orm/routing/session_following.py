"""Lets the Postgres sessions on both servers have what a statement has changed in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg2 import extensions as ext

from ..classify import Kind, SessionChange, Statement
from ..classify.session_settings import breaks_reads
from ..postgres.cursors import text_cursor
from ..postgres.session_report import read_settings, release_locks
from ..protocol.messages import SessionReport, Watch
from .session_settings import SessionSettings

WHY = "a setting that a function has changed"
LOCKED = "a function that it calls takes locks"


class Change(NamedTuple):
    """A session setting that a function has changed, as the statement that gives it to another session."""

    statement: Statement
    sql: bytes


def examined(connection: Any, statement: Statement) -> Statement:
    """The statement with what its functions may change, where the connection has a session on either server."""
    if not (statement.user_calls or statement.changes) or connection.promoted:
        return statement
    examined: Statement = connection.router.session_functions.examined(statement, connection)
    return examined


def watch(changes: SessionChange, known: SessionSettings) -> Watch | None:
    """What a node has to look for after a request that may have made these changes; None if nothing."""
    if not (changes.settings or changes.anything or changes.leaves_state):
        return None
    return Watch(settings=sorted(_names(changes, known)), anything=changes.anything, state=changes.leaves_state)


def follow_here(connection: Any, changes: SessionChange) -> bool:
    """Have the sessions on the primary begin with what a statement has changed in the one on the replica.

    Not inside a transaction. False if it has taken locks, which count on the primary only; they are released here.
    """
    if not changes:
        return True
    known = connection.remote.session_settings
    with text_cursor(connection) as cursor:
        if changes.anything and release_locks(cursor):
            return False
        settings = read_settings(cursor, _names(changes, known), anything=changes.anything)
    for statement, sql in _changes(connection, settings):
        known.remember(statement, sql)
    return True


def took_locks(connection: Any, changes: SessionChange) -> bool:
    """Whether a statement that may have made these changes has taken locks on the replica, where they are released."""
    if not changes.anything or connection.closed:
        return False
    with text_cursor(connection) as cursor:
        return release_locks(cursor)


def follow_there(connection: Any, report: SessionReport) -> None:
    """Give the session on the replica, and those to come on the primary, what one on the primary has reported."""
    encoding = ext.encodings[connection.encoding]
    settings = {name: None if value is None else value.decode(encoding) for name, value in report.settings.items()}
    for statement, sql in _changes(connection, settings):
        connection.apply_setting(sql, statement)


def _names(changes: SessionChange, known: SessionSettings) -> frozenset[str]:
    return changes.settings | known.names if changes.anything else changes.settings


def _changes(connection: Any, settings: Mapping[str, str | None]) -> list[Change]:
    """The settings that are not known yet."""
    known = connection.remote.session_settings
    initial = known.initial(connection, connection.router.local.unreported(connection))
    changes = []
    for name, value in settings.items():
        if name in known.names or (value is not None and value != initial.get(name)):
            change = _change(connection, name, value)
            if not known.has(name, change.sql):
                changes.append(change)
    return changes


def _change(connection: Any, name: str, value: str | None) -> Change:
    with ext.cursor(connection) as cursor:
        if value is None:
            sql = f"RESET {'.'.join(ext.quote_ident(part, cursor) for part in name.split('.'))}".encode()
        else:
            sql = cursor.mogrify("SELECT set_config(%s, %s, false)", (name, value))
    made = Statement(kind=Kind.SET, why=WHY, name=name, primary_only=breaks_reads(name, value), resets=value is None)
    return Change(made, sql)
