"""A database as the router sees it that connection factories lead to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import get_ident
from typing import Any
from weakref import ref

import psycopg2
from psycopg2 import extensions as ext

from ...driver.connection import RoutingConnection
from ...driver.connector import unrouted
from ...routing.wrapped_database import WrappedDatabase

log = logging.getLogger("fly_orm")

_CLOSED = frozenset({ext.TRANSACTION_STATUS_IDLE, ext.TRANSACTION_STATUS_UNKNOWN})


class WrappedAddress(WrappedDatabase):
    """Where a connection string leads. Strings that lead there may differ in their passwords: the newest counts.

    Any thread may use any connection, as threads do that share a pool. A transaction belongs to the thread that has
    begun it.
    """

    def __init__(self, dsn: str, parameters: Mapping[str, Any]) -> None:
        self._name = parameters.get("dbname")
        self._worked = self._newest = dsn
        self._connections: set[ref[Any]] = set()

    def opens(self, dsn: str) -> None:
        """Note the connection string that a connection is about to be made with."""
        self._newest = dsn

    def opened(self, dsn: str, connection: Any) -> None:
        """Note a new connection."""
        self._worked = dsn
        self._connections.add(ref(connection, self._connections.discard))

    def name(self) -> str:
        if self._name is None:
            connection = self.connect()
            self._name = str(connection.info.dbname)
            connection.close()
        return self._name

    def connect(self) -> Any:
        newest, worked = self._newest, self._worked
        try:
            connection = _connect(newest)
        except psycopg2.OperationalError:
            if newest == worked:
                raise
            connection = _connect(worked)  # somebody else may have given a wrong password
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return bool(self._open_transactions())

    def close_thread_connections(self) -> None:
        return  # what a thread has opened may be in a pool

    @contextmanager
    def function_scope(self) -> Iterator[None]:
        try:
            yield
        finally:
            for connection in self._open_transactions():
                log.warning(
                    "a function left a transaction on %r open; it is rolled back",
                    self.name(),
                    extra={"event": "function_left_open", "database": self.name()},
                )
                with suppress(psycopg2.Error):  # a connection that is lost has rolled back
                    connection.rollback()

    def _open_transactions(self) -> list[Any]:
        """The connections on which the calling thread has begun a transaction that is open."""
        living = (connection for each in list(self._connections) if (connection := each()) is not None)
        return [connection for connection in living if not connection.closed and _is_mine(connection)]


def _is_mine(connection: Any) -> bool:
    if isinstance(connection, RoutingConnection):
        return connection.in_transaction and connection.transaction_thread == get_ident()
    open_here = connection.get_transaction_status() not in _CLOSED
    return open_here and getattr(connection, "thread", None) == get_ident()


def _connect(dsn: str) -> Any:
    return psycopg2.connect(**unrouted(ext.parse_dsn(dsn)))
