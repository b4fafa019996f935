"""Pony's pool and provider for PostgreSQL, routed: what only Pony knows, they tell the connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from pony.orm import core, dbapiprovider
from pony.orm.dbproviders.postgres import PGPool, PGProvider

from ...driver.connection import RoutingConnection
from ...driver.connector import Connector
from ...driver.recording import RecordingConnection
from ...errors import FlyOrmError
from ...postgres.subclasses import named_like
from ...routing.router import Router
from ...sessions.context import current
from ...sessions.observing import unobserved

log = logging.getLogger("fly_orm")

#: Of a SessionCache: whether raw SQL has run since the last commit.
_RAW = "_fly_orm_raw"


class RoutingPool(PGPool):  # type: ignore[misc]  # Pony has no types
    """Pony's pool, a connection for each thread, of which those to a replica are routed."""

    router: Router
    connector: Connector

    def _connect(self) -> None:
        self.con = self.connector.open(self.dbapi_module.connect, *self.args, **self.kwargs)
        if "client_encoding" not in self.kwargs:
            self.con.set_client_encoding("UTF8")
        _defer_transactions(self.con)

    def connect(self) -> Any:
        if self.con is not None and not isinstance(self.con, RoutingConnection | RecordingConnection):
            self.disconnect()  # it was opened before wrap()
        return super().connect()

    def release(self, con: Any) -> None:
        try:
            with unobserved(current()):  # Pony's DISCARD ALL
                super().release(con)
        except psycopg2.Error as error:
            if not isinstance(con, RoutingConnection):
                raise
            # The db_session is over, and what it wrote is committed. The pool has dropped the connection.
            log.warning("the connection to the replica was lost: %s", str(error).strip())
        _defer_transactions(con)  # a suspended generator goes on with it, after others


class RoutingProvider(PGProvider):  # type: ignore[misc]
    """Pony's provider for PostgreSQL, which tells the connection what kind of db_session it serves."""

    router: Router
    wrapped: Any
    """The router's view of the database."""

    def get_pool(self, *args: Any, **kwargs: Any) -> Any:
        pool = routed_pool(self.router)(self.dbapi_module, *args, **kwargs)
        self.wrapped.pool = pool  # the provider itself is the database's only when it has connected
        return pool

    def set_transaction_mode(self, connection: Any, cache: Any) -> Any:
        self._choose_where_to_read(connection, cache)
        return super().set_transaction_mode(connection, cache)

    def _choose_where_to_read(self, connection: Any, cache: Any) -> None:
        """Let a db_session read on the replica until it writes, unless nothing would tell that what it read was old."""
        session = cache.db_session
        unchecked = session is not None and (session.immediate or not session.optimistic)
        if isinstance(connection, RoutingConnection):
            connection.defers_transactions = not (unchecked or getattr(cache, _RAW, False))

    def should_reconnect(self, exc: Any) -> bool:
        """Whether Pony may repeat a statement on another connection: never in the middle of a transaction."""
        cache = core.local.db2cache.get(self.database)
        in_transaction = cache is not None and cache.in_transaction
        return not (in_transaction or isinstance(exc, FlyOrmError)) and bool(super().should_reconnect(exc))

    def connect(self) -> Any:
        with _as_ours():
            return super().connect()

    def execute(self, cursor: Any, sql: Any, arguments: Any = None, returning_id: Any = False) -> Any:
        with _as_ours():
            return super().execute(cursor, sql, arguments, returning_id)

    def commit(self, connection: Any, cache: Any = None) -> None:
        with _as_ours():
            super().commit(connection, cache)
        if cache is not None:
            setattr(cache, _RAW, False)
            self._choose_where_to_read(connection, cache)


@contextmanager
def _as_ours() -> Iterator[None]:
    """Let fly_orm's own errors, which are Pony's as well, out of those that Pony wraps around them."""
    try:
        yield
    except dbapiprovider.DBException as error:
        own = getattr(error, "original_exc", None)
        if isinstance(own, FlyOrmError):
            raise own from own.__cause__
        raise


def _defer_transactions(connection: Any) -> None:
    if isinstance(connection, RoutingConnection):
        connection.defers_transactions = True


def routed_provider(router: Router) -> type:
    """The class of the provider of a database whose connections are routed."""
    made: type = named_like(PGProvider, RoutingProvider, router=router, wrapped=router.wrapped)
    return made


def routed_pool(router: Router) -> type:
    """The class of its pool."""
    made: type = named_like(PGPool, RoutingPool, router=router, connector=Connector(router))
    return made


def route_raw_sql(database: Any) -> None:
    """Let raw SQL that Pony takes for a write, a SELECT included, run on the primary until the next commit."""
    exec_sql, get_connection = database._exec_sql, database.get_connection

    def routed_exec_sql(
        sql: Any, arguments: Any = None, returning_id: Any = False, start_transaction: Any = False
    ) -> Any:
        if start_transaction:
            _read_there(database)
        return exec_sql(sql, arguments, returning_id, start_transaction)

    def routed_get_connection() -> Any:
        _read_there(database)
        return get_connection()

    database._exec_sql, database.get_connection = routed_exec_sql, routed_get_connection


def _read_there(database: Any) -> None:
    cache = database._get_cache()
    setattr(cache, _RAW, True)
    if isinstance(cache.connection, RoutingConnection):
        cache.connection.defers_transactions = False
