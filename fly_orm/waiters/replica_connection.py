"""A waiter's connection to the replica: what the replica has replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg2

from ..deadline import Deadline, now
from ..lsn import LSN
from ..postgres.libpq import break_off, silence_check
from .strategy import ChooseStrategy, Strategy

#: Seconds after the end of a wait within which the replica must have answered.
ANSWER_TIMEOUT = 1.0


class _Asking(NamedTuple):
    """What queries are asked with over one connection."""

    connection: Any
    cursor: Any
    strategy: Strategy
    is_silent: Callable[[], bool]

    @property
    def is_alive(self) -> bool:
        """Whether the server still has this connection; after a crash, it may have replayed less than it reported.

        An idle connection has input only when the server closes it.
        """
        # In this order: if another thread has closed it, the descriptor may be another file's.
        return self.is_silent() and not self.connection.closed


class ReplicaConnection:
    """A connection that is opened when it is needed, and again when it is lost. One thread asks at a time."""

    def __init__(self, connect: Callable[[], Any], choose: ChooseStrategy) -> None:
        self._connect = connect
        self._choose = choose
        self._lock = threading.Lock()
        self._connection: Any = None
        self._asking: _Asking | None = None
        """What the last query was asked with."""
        self._closed = False
        self.replayed = LSN(0)
        """The replay LSN that the replica last reported over the current connection; 0 if it has not reported any."""

    def known_replayed(self, lsn: LSN) -> LSN | None:
        """The replay LSN if it is known to be at least ``lsn`` without a query. Any thread may call."""
        # In this order: read the other way round, the LSN could be of an earlier connection than the one found alive.
        asking, replayed = self._asking, self.replayed
        return replayed if replayed >= lsn and asking is not None and asking.is_alive else None

    def ask(self, lsn: LSN, deadline: Deadline) -> LSN | None:
        """The replay LSN, as soon as it is at least ``lsn`` or earlier; None if the server is not in recovery.

        psycopg2's error if the replica does not answer.
        """
        connection = self._connection
        if connection is not None:
            try:
                return self._query(connection, lsn, deadline.remaining())
            except psycopg2.Error:
                self._forget()
                if self._closed or now() >= deadline.at + ANSWER_TIMEOUT:
                    raise
                # The replica may have been restarted since the last query, so a new connection can work at once.
        # The second query must not wait. The wait may be what failed, if statement_timeout is shorter.
        return self._query(self._open(), lsn, 0)

    def pause(self, waited: float) -> float:
        """Seconds to sleep before the next query; see :meth:`fly_orm.waiters.strategy.Strategy.pause`."""
        connection = self._connection
        return 0.0 if connection is None else self._strategy(connection).pause(waited)

    def break_off(self) -> bool:
        """Make a query that is running fail; whether there is a connection. Any thread may call."""
        if (connection := self._connection) is None:
            return False
        break_off(connection)
        return True

    def close(self) -> None:
        """Close the connection, and make a query that is running fail. Any thread may call."""
        with self._lock:
            self._closed = True
        self.break_off()  # psycopg2's close() would wait until the query ends
        self._forget()

    def _strategy(self, connection: Any) -> Strategy:
        return self._choose(connection.server_version)

    def _query(self, connection: Any, lsn: LSN, timeout: float | None) -> LSN | None:
        asking = self._asking
        if asking is None or asking.connection is not connection:
            strategy, is_silent = self._strategy(connection), silence_check(connection)
            asking = self._asking = _Asking(connection, connection.cursor(), strategy, is_silent)
        cursor = asking.cursor
        cursor.execute(asking.strategy.query(lsn, timeout))
        replayed, in_recovery = cursor.fetchone()
        if not in_recovery:
            return None
        self.replayed = LSN(0) if replayed is None else LSN.parse(replayed)
        return self.replayed

    def _open(self) -> Any:
        connection = self._connect()
        with self._lock:
            # close() may have been called while this thread was connecting.
            if not self._closed:
                self._connection = connection
                return connection
        connection.close()
        raise psycopg2.InterfaceError("the waiter was closed")

    def _forget(self) -> None:
        with self._lock:
            connection, self._connection, self._asking = self._connection, None, None
            # The next connection may reach another server, or one that was rebuilt and has replayed less.
            self.replayed = LSN(0)
        if connection is not None:
            connection.close()
