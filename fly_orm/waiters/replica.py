"""The replica as a waiter sees it: what it has replayed, asked over one connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from ..deadline import Deadline, now
from ..lsn import LSN
from ..postgres.libpq import break_off, has_input
from .watch import Choice, Watch

#: A replica that has not answered so many seconds after a wait should have ended is out of reach.
ANSWER_TIMEOUT = 1.0


class Replica:
    """One connection, opened when it is needed and again when it is lost. One thread asks at a time."""

    def __init__(self, connect: Callable[[], Any], choose: Choice) -> None:
        self._connect = connect
        self._choose = choose
        self._lock = threading.Lock()
        self._connection: Any = None
        self._closed = False
        self.replayed = LSN(0)
        """What it was last seen to have replayed; 0 once the connection over which that was asked is lost."""

    def shows(self, lsn: LSN) -> LSN | None:
        """The replay LSN if it is known to be at least ``lsn``, without a query. Any thread may call."""
        # The connection first: what was replayed is no older than it.
        connection, replayed = self._connection, self.replayed
        return replayed if replayed >= lsn and _is_alive(connection) else None

    def ask(self, lsn: LSN, deadline: Deadline) -> LSN | None:
        """The replay LSN, when it has reached ``lsn`` or before; None if the server is not in recovery.

        psycopg2's error if it cannot be asked.
        """
        connection = self._connection
        if connection is not None:
            try:
                return self._query(connection, lsn, deadline.remaining())
            except psycopg2.Error:
                self._forget()
                if self._closed or now() >= deadline.at + ANSWER_TIMEOUT:
                    raise  # it was out of reach; otherwise it may have restarted since it was last asked
        # Without a wait, which may be what failed: a statement_timeout can be shorter.
        return self._query(self._open(), lsn, 0)

    def pause(self, waited: float) -> float:
        """Seconds until it is to be asked again; see :meth:`fly_orm.waiters.watch.Watch.pause`."""
        connection = self._connection
        return 0.0 if connection is None else self._watch(connection).pause(waited)

    def break_off(self) -> None:
        """Let a query that is under way fail. Any thread may call."""
        if (connection := self._connection) is not None:
            break_off(connection)

    def close(self) -> None:
        """Close the connection, and let a query that is under way fail. Any thread may call."""
        with self._lock:
            self._closed = True
        self.break_off()  # or closing would wait for the query's end
        self._forget()

    def _watch(self, connection: Any) -> Watch:
        return self._choose(connection.server_version)

    def _query(self, connection: Any, lsn: LSN, left: float | None) -> LSN | None:
        with connection.cursor() as cursor:
            cursor.execute(self._watch(connection).query(lsn, left))
            replayed, in_recovery = cursor.fetchone()
        if not in_recovery:
            return None
        self.replayed = LSN(0) if replayed is None else LSN.parse(replayed)
        return self.replayed

    def _open(self) -> Any:
        connection = self._connect()
        with self._lock:
            if not self._closed:
                self._connection = connection
                return connection
        connection.close()
        raise psycopg2.InterfaceError("closed meanwhile")

    def _forget(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            # Another connection may reach a server that was rebuilt and has replayed less.
            self.replayed = LSN(0)
        if connection is not None:
            connection.close()


def _is_alive(connection: Any) -> bool:
    """Whether the server that was asked is still there: after a crash it may show less than it did."""
    try:
        return connection is not None and not has_input(connection)
    except (psycopg2.Error, OSError, ValueError):  # closed meanwhile
        return False
