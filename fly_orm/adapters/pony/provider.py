"""Pony's pool and provider for PostgreSQL, which open routing connections and tell them what only Pony knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from pony.orm import core, dbapiprovider
from pony.orm.dbproviders.postgres import PGPool, PGProvider

from ...driver.direct import DirectConnection
from ...driver.explaining import explain_refusals
from ...errors import FlyOrmError
from ...postgres.libpq import was_lost
from ...postgres.subclasses import named_like
from ...sessions.context import current
from ...sessions.running import unobserved
from ..base import Connector, Router, RoutingConnection
from .served import FailedCommit, Served, ServedCursor
from .writes import Captured

log = logging.getLogger("fly_orm")

#: An attribute of a SessionCache: whether raw SQL that may write has run since the last commit.
_RAW = "_fly_orm_raw"


class RoutingPool(PGPool):  # type: ignore[misc]  # Pony has no types
    """Pony's pool, which has one connection per thread. Connections to a replica are routed."""

    router: Router
    connector: Connector
    kwargs: dict[str, Any]  # Pony's

    def _connect(self) -> None:
        try:
            self.connector.open(self._open, **self.kwargs)
        except BaseException:
            self.con = None
            raise
        _defer_transactions(self.con)

    def _open(self, **parameters: Any) -> Any:
        """What the class that this one is in front of opens with these parameters. Each thread has its own pool."""
        given, self.kwargs = self.kwargs, parameters
        try:
            super()._connect()
        finally:
            self.kwargs = given
        return self.con

    def connect(self) -> Any:
        if self.con is not None and (
            not isinstance(self.con, RoutingConnection | DirectConnection)  # it was opened before wrap()
            or self.connector.is_outdated(self.con)
            or self.connector.is_past_use(self.con)  # or a db_session that begins with a write would fail
        ):
            self.disconnect()
        return super().connect()

    def _clean_there(self, con: RoutingConnection) -> None:
        """Remove what the db_session left on the primary. The replica, which is gone, has nothing of it any more."""
        con.rollback()
        with con.remote.lock:
            con.remote.end()
            con.remote.session_settings.forget()
        con.autocommit = False  # as Pony leaves it
        _defer_transactions(con)

    def release(self, con: Any) -> None:
        if con.closed:
            self.drop(con)
            return
        if isinstance(con, RoutingConnection) and was_lost(con):
            self._clean_there(con)
            return
        try:
            with unobserved(current()):  # Pony's DISCARD ALL
                super().release(con)
        except psycopg2.Error as error:
            # The db_session is over and its writes are committed. The pool has dropped the connection.
            log.warning(
                "the connection to %r was lost: %s",
                self.router.name,
                str(error).strip(),
                extra={"event": "connection_lost", "database": self.router.name, "problem": str(error).strip()},
            )
        _defer_transactions(con)  # a suspended generator continues with this connection after others have used it


class ExplainingPool(PGPool):  # type: ignore[misc]
    """Pony's pool of connections to a replica, if no primary region is configured: refusals to write are explained."""

    def _connect(self) -> None:
        super()._connect()
        explain_refusals(self.con)


class RoutingProvider(PGProvider):  # type: ignore[misc]
    """Pony's provider for PostgreSQL. It tells the connection whether the current db_session may read locally."""

    router: Router
    wrapped: Any
    """The router's view of the database."""

    @property
    def pool(self) -> Any:
        """The pool. One that takes its place is routed too."""
        return self.__dict__["pool"]

    @pool.setter
    def pool(self, pool: Any) -> None:
        if not isinstance(pool, RoutingPool):
            pool.__class__ = _routed_pool(type(pool), self.router)
        self.__dict__["pool"] = pool
        self.wrapped.pool = pool  # Database.provider is set only after the first connection
        self.router.forget_server()

    def set_transaction_mode(self, connection: Any, cache: Any) -> Any:
        self._choose_route_of_reads(connection, cache)
        return super().set_transaction_mode(connection, cache)

    def _choose_route_of_reads(self, connection: Any, cache: Any) -> None:
        """Let a db_session read from the replica until it writes, unless optimistic checks are off.

        Without these checks, nothing would detect a stale read.
        """
        session = cache.db_session
        unchecked = session is not None and (session.immediate or not session.optimistic)
        if isinstance(connection, RoutingConnection):
            connection.defers_transactions = not (unchecked or getattr(cache, _RAW, False))

    def should_reconnect(self, exc: Any) -> bool:
        """Whether Pony may repeat a statement on a new connection. Never within a transaction."""
        cache = core.local.db2cache.get(self.database)
        in_transaction = cache is not None and cache.in_transaction
        return not (in_transaction or isinstance(exc, FlyOrmError)) and bool(super().should_reconnect(exc))

    def connect(self) -> Any:
        with _own_errors_unwrapped():
            return super().connect()

    def execute(self, cursor: Any, sql: Any, arguments: Any = None, returning_id: Any = False) -> Any:
        if type(sql) is Served:
            cursor = ServedCursor(cursor, sql)
        with _own_errors_unwrapped():
            return super().execute(cursor, sql, arguments, returning_id)

    def rollback(self, connection: Any, cache: Any = None) -> None:
        try:
            super().rollback(connection, cache)
        except dbapiprovider.DBException:
            # The server has rolled back what was open on a connection that is lost. Pony would raise this error in
            # place of the one that says so.
            if not connection.closed:
                raise
            if cache is not None:
                cache.in_transaction = False

    def commit(self, connection: Any, cache: Any = None) -> None:
        failed = getattr(cache, "failed_commit", None)
        with _own_errors_unwrapped():
            super().commit(connection if failed is None else FailedCommit(failed), cache)
        if cache is not None:
            setattr(cache, _RAW, False)
            self._choose_route_of_reads(connection, cache)


@contextmanager
def _own_errors_unwrapped() -> Iterator[None]:
    """Raise fly_orm's own errors themselves, without the exceptions that Pony wraps around them."""
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


def obstacle(provider: type) -> str | None:
    """Why the connections of a provider of this class cannot be routed, as a clause; None if they can."""
    if provider is PGProvider or issubclass(provider, RoutingProvider):
        return None
    dialect = getattr(provider, "dialect", None) or provider.__name__
    return f"this Pony database is bound to {dialect} ({provider.__name__}), and not to PostgreSQL through psycopg2"


def route_bound(provider: Any, router: Router) -> None:
    """Let the provider of a bound database open routing connections from now on."""
    provider.__class__ = routed_provider(router)
    provider.pool = provider.pool
    provider.wrapped.pool = None  # it is the provider's


def explain_bound(provider: Any) -> None:
    """Let the connections of this provider explain refusals to write, if the first one has reached a replica."""
    if obstacle(type(provider)) is None and provider.pool.con is not None and explain_refusals(provider.pool.con):
        provider.pool.__class__ = named_like(PGPool, ExplainingPool)


def routed_provider(router: Router) -> type:
    """The class of the provider of a database whose connections are routed."""
    made: type = named_like(PGProvider, RoutingProvider, router=router, wrapped=router.wrapped)
    return made


def _routed_pool(own: type, router: Router) -> type:
    bases = (RoutingPool,) if own is PGPool else (RoutingPool, own)
    made: type = named_like(own, *bases, router=router, connector=Connector(router))
    return made


def route_raw_sql(database: Any) -> None:
    """Let raw SQL run on the primary, together with everything after it until the next commit.

    Pony treats all raw SQL as a write, even a SELECT.
    """
    exec_sql, get_connection = database._exec_sql, database.get_connection

    def routed_exec_sql(
        sql: Any, arguments: Any = None, returning_id: Any = False, start_transaction: Any = False
    ) -> Any:
        if start_transaction or type(arguments) is list:
            sql = _planned(database, sql, arguments)
        if start_transaction:
            _read_from_primary(database)
        return exec_sql(sql, arguments, returning_id, start_transaction)

    def routed_get_connection() -> Any:
        _read_from_primary(database)
        return get_connection()

    database._exec_sql, database.get_connection = routed_exec_sql, routed_get_connection


def _planned(database: Any, sql: str, arguments: Any) -> str:
    """The statement; with its result, if a flush has sent it already."""
    plan = getattr(core.local.db2cache.get(database), "plan", None)
    if plan is None:
        return sql
    if plan.capturing:
        raise Captured(sql, arguments)
    planned: str = plan.next(sql)
    return planned


def _read_from_primary(database: Any) -> None:
    cache = database._get_cache()
    setattr(cache, _RAW, True)
    if isinstance(cache.connection, RoutingConnection):
        cache.connection.defers_transactions = False
