"""Lets the Postgres sessions on both servers have what a statement has changed in one of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as ext

from ..classify import Kind, SessionChange, Statement
from ..classify.session_change import NOTHING, may_change_anything
from ..classify.session_settings import breaks_reads
from ..local.starting import ISOLATION, SERIALIZABLE, lower_isolation
from ..postgres.cursors import text_cursor
from ..postgres.session_report import assignment, decoded, read_settings, release_locks
from ..protocol.messages import SessionReport, Watch
from .session_settings import SessionSettings, quoted_name

log = logging.getLogger("fly_orm")

LOCKED = "a function that it calls takes locks"
_ANYTHING = may_change_anything("")
#: A new session user has no role, so that the role has to be set after it.
_USERS = ("session_authorization", "role")


def examined(connection: Any, statement: Statement) -> Statement:
    """The statement with what its functions may change, where the connection has a session on either server."""
    if connection.promoted:
        return statement
    if statement.user_calls or statement.changes:
        statement = connection.router.session_functions.examined(statement, connection)
    if statement.kind is not Kind.READ or statement.changes != NOTHING:
        connection.remote.session_settings.will_run(statement.session_changes)
    return statement


def watch(changes: SessionChange, known: SessionSettings) -> Watch | None:
    """What a node has to look for after a request that may have made these changes; None if nothing."""
    everything = changes.anything or changes.resets
    names = changes.settings | known.may_make(changes) | (known.names if everything else frozenset())
    if not (names or changes.anything or changes.leaves_state):
        return None
    return Watch(settings=sorted(names), anything=changes.anything, state=changes.leaves_state)


def note_here(connection: Any, statement: Statement, *, in_transaction: bool) -> None:
    """Note what a statement may have changed in the session on the replica, which has executed it.

    The session is asked about it before the primary executes something. In a transaction, that is after its end.
    """
    settings: SessionSettings = connection.remote.session_settings
    changes = statement.session_changes
    if statement.kind is Kind.WRITE:  # such as EXECUTE, which does not show what it executes
        changes |= _ANYTHING
    if changes:
        settings.may_have_changed(changes)
    if not in_transaction:
        _ask_if_needed(connection)


@contextmanager
def on_one_server(connection: Any, statement: Statement) -> Iterator[None]:
    """A block that changes settings in the session on the replica, which are noted.

    A pooler may choose another server's session for the next transaction, so that it has to be asked in the same one.
    """
    if not connection.pooled or statement.discards_all or not statement.session_changes:
        yield
        connection.settle(statement)
        return
    with ext.cursor(connection) as cursor:
        cursor.execute("BEGIN")
        try:
            yield
            note_here(connection, statement, in_transaction=True)
            ask_here(connection)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


def follow_here(connection: Any, changes: SessionChange) -> bool:
    """Note what a read may have changed in the session on the replica, outside of a transaction.

    False if it has taken locks, which count on the primary only; they are released here.
    """
    if not changes:
        return True
    if changes.anything:
        with text_cursor(connection) as cursor:
            if release_locks(cursor):
                return False
    settings: SessionSettings = connection.remote.session_settings
    settings.may_have_changed(changes)
    _ask_if_needed(connection)
    return True


def _ask_if_needed(connection: Any) -> None:
    if connection.remote.session_settings.is_needed:
        with suppress(psycopg2.Error):  # what was executed has succeeded; the next request asks again
            ask_here(connection)


def took_locks(connection: Any, changes: SessionChange) -> bool:
    """Whether a statement that may have made these changes has taken locks on the replica, where they are released."""
    if not changes.anything or connection.closed:
        return False
    with text_cursor(connection) as cursor:
        return release_locks(cursor)


def ask_here(connection: Any) -> None:
    """Learn what the session on the replica has, of what may have changed there. Not inside a transaction."""
    settings: SessionSettings = connection.remote.session_settings
    names, anything = settings.take_stale()
    try:
        found = _read_here(connection, names, anything=anything)
    except BaseException:
        settings.give_back(names, anything=anything)
        raise
    settings.take(dict(sorted(found.items(), key=lambda item: names.index(item[0]) if item[0] in names else -1)))


def _read_here(connection: Any, names: Collection[str], *, anything: bool) -> dict[str, str | None]:
    if anything:
        names = [*names, *connection.router.session_functions.read_custom_settings(connection)]
    lowered = False
    try:
        with text_cursor(connection) as cursor:
            found = read_settings(cursor, names, anything=anything)
    except errors.FeatureNotSupported:  # the session's transactions are SERIALIZABLE
        lower_isolation(connection)
        lowered = True
        with text_cursor(connection) as cursor:
            found = read_settings(cursor, names, anything=anything)
    starts_lowered = connection.remote.session_settings.first(ISOLATION) == SERIALIZABLE and ISOLATION not in names
    return {**found, ISOLATION: SERIALIZABLE} if lowered or (starts_lowered and ISOLATION in found) else found


def follow_there(connection: Any, report: SessionReport) -> None:
    """Give the session on the replica, and those to come on the primary, what one on the primary has reported."""
    settings: SessionSettings = connection.remote.session_settings
    encoding = connection.get_parameter_status("server_encoding")
    reported = {name: None if value is None else decoded(value, encoding) for name, value in report.settings.items()}
    if settings.first("role") == "none" and reported.get("role") == settings.start.role:
        reported["role"] = "none"  # a node acts as its caller's role by SET ROLE
    initial = settings.initial(connection, connection.router.local.unreported(connection))
    changed = {name: value for name, value in reported.items() if settings.differs(name, value, initial)}
    if _USERS[0] in changed and _USERS[1] in reported:
        changed[_USERS[1]] = reported[_USERS[1]]
    for name in [*(name for name in changed if name not in _USERS), *(name for name in _USERS if name in changed)]:
        settings.take({name: changed[name]}, here=_change_here(connection, name, changed[name]))


def _change_here(connection: Any, name: str, value: str | None) -> bool:
    """Change a setting on the replica that was changed on the primary; False if the replica does not have it now.

    Reads stay on the primary then: the COMMIT has succeeded, and must not seem to fail.
    """
    if value is not None and breaks_reads(name, value):
        return False
    encoding = connection.get_parameter_status("server_encoding")
    try:
        with ext.cursor(connection) as cursor:
            if value is None:
                cursor.execute(f"RESET {quoted_name(name)}")
            else:
                cursor.execute(f"SELECT {assignment(name, value, encoding)}")
        if name == ISOLATION and value is None:
            connection.remote.session_settings.fit_replica(connection)
    except psycopg2.Error as error:
        log.warning(
            "the replica did not accept %s, a setting that was made on the primary, so the connection's reads run "
            "on the primary: %s",
            name,
            str(error).strip(),
            extra={"event": "setting_not_followed", "setting": name, "problem": str(error).strip()},
        )
        return False
    return True
