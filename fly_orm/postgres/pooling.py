"""Connection poolers such as PgBouncer: whether there is one, and whether connections keep their Postgres session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import psycopg2

from ..concurrency.timer import Timer
from ..errors import Refused
from ..protocol import reasons
from .cursors import text_cursor
from .libpq import break_off

#: Times that each of two connections is asked for its server process. The first time tells if the pooler is idle. While
#: other clients take and return server connections all the time, one round in a hundred tells nothing.
_ROUNDS = 20
#: Seconds that all of that may take.
_TIMEOUT = 3.0


class Pooled(Protocol):
    """A connection through a pooler."""

    raw: Any

    def keeps_session(self) -> bool:
        """Whether the server process is still the one that the connection began with."""


class SessionCheck:
    """Refuses connections to one database through a pooler that does not keep a Postgres session for each. Thread-safe.

    What a caller leaves in the Postgres session, such as settings, locks and temporary tables, would otherwise reach
    other callers, and not the statements that it is meant for.
    """

    def __init__(self, name: str, connect: Callable[[], Any], timer: Timer) -> None:
        self._name = name
        self._connect = connect
        self._timer = timer
        self._kept = False
        """Whether the pooler was found to keep sessions."""

    def check(self, connection: Pooled) -> None:
        """Raise Refused unless the pooler keeps the session of this connection, which is new."""
        if self._kept:
            return
        try:
            shared = self._shares(connection.raw)
        except psycopg2.Error as error:
            raise Refused(
                f"the database {self._name!r} of this node is behind a connection pooler, and whether that keeps a "
                "Postgres session for each connection cannot be told, because a second connection fails: "
                f"{str(error).strip()}. Connect nodes to Postgres itself",
                reason=reasons.NO_SESSION,
            ) from error
        if shared:
            raise self._refused()
        self._kept = True

    def check_again(self, connection: Pooled) -> None:
        """Raise Refused if the pooler, which was found to keep sessions, has changed that of this connection."""
        if not connection.keeps_session():
            self._kept = False
            raise self._refused()

    def _shares(self, raw: Any) -> bool:
        other = self._connect()
        try:
            other.autocommit = True
            limit = self._timer.limit
            with limit(_TIMEOUT, lambda: break_off(raw)), limit(_TIMEOUT, lambda: break_off(other)):
                return share_sessions(raw, other)
        finally:
            other.close()

    def _refused(self) -> Refused:
        return Refused(
            f"the database {self._name!r} of this node is behind a connection pooler that pools by transaction, such "
            "as PgBouncer with pool_mode = transaction, so that the session settings, locks and temporary tables of "
            "one caller would reach others; connect nodes to Postgres itself, or set pool_mode = session",
            reason=reasons.NO_SESSION,
        )


def server_pid(connection: Any) -> int:
    """The process that serves a driver connection at the moment."""
    with text_cursor(connection) as cursor:
        cursor.execute("SELECT pg_backend_pid()::text")
        return int(cursor.fetchone()[0])


def is_pooled(connection: Any, pid: int) -> bool:
    """Whether the server process ``pid`` serves a driver connection by way of a pooler.

    A pooler tells libpq a process id of its own, with which it recognizes cancel requests.
    """
    return pid != int(connection.get_backend_pid())


def share_sessions(one: Any, other: Any) -> bool:
    """Whether a pooler lets two connections in autocommit, both open, take turns on the same Postgres sessions.

    A pooler that pools by session gives each of them a server process of its own until it is closed. One that pools by
    transaction takes the process back after each statement, and gives the next statement the one that was returned last
    or has been idle for longest: then both connections are seen on one process, or one of them on several.
    """
    first, second = server_pid(one), server_pid(other)
    again = (server_pid(one) == first and server_pid(other) == second for _ in range(_ROUNDS - 1))
    return first == second or not all(again)
