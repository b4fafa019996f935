"""Routes the connections that a peewee database opens."""

from __future__ import annotations

from typing import Any, NoReturn

import peewee
import psycopg2
from psycopg2 import extensions as ext

from ...errors import NotSupported
from ...postgres.cursors import ping
from ...postgres.libpq import was_lost
from ...postgres.subclasses import named_like
from ...sessions.context import current_invocation
from ..base import Connector, Router

#: Subclasses of PostgresqlDatabase for another database or driver. They are compared by name, since few applications
#: have installed what their modules import.
_UNROUTABLE = frozenset({"CockroachDatabase", "AsyncDatabaseMixin"})

_CONNECTS_ITSELF = (
    "let it call super()._connect(), which connects with self.connect_params; or leave out wrap(), and pass "
    "connection_factory=fly_orm.connection_factory() to psycopg2.connect()"
)


def obstacle(database: Any) -> str | None:
    """Why the connections of a database cannot be routed, as a clause; None if they can."""
    kind = type(database).__name__
    adapter = getattr(database, "_adapter", None)
    if not isinstance(database, peewee.PostgresqlDatabase):
        return f"{kind} is not a PostgresqlDatabase"
    if _UNROUTABLE.intersection(cls.__name__ for cls in type(database).__mro__):
        return f"{kind} does not connect to PostgreSQL through psycopg2, although it derives from PostgresqlDatabase"
    if isinstance(adapter, peewee.Psycopg3Adapter):
        return f"this {kind} uses psycopg 3 (to use psycopg2, leave out prefer_psycopg3)"
    if not isinstance(adapter, peewee.Psycopg2Adapter):
        return f"{kind} does not connect through psycopg2"
    return None


def route(database: Any, router: Router) -> None:
    """Let the connections that a database opens from now on be routed, even after another init()."""
    _replace_adapter(database, _routed_class(type(database._adapter), router))
    database.init = _moving(database.init, router)
    database.psycopg3_adapter = _refuse_psycopg3
    database._initialize_connection = _initializing(database, router)


def leave_unrouted(database: Any, router: Router) -> None:
    """Let the connections that a database opens from now on explain a replica's refusals, and nothing else."""
    _replace_adapter(database, _routed_class(type(database._adapter), router, _ConnectingAdapter))


def _replace_adapter(database: Any, made: type) -> None:
    database._adapter.__class__ = made
    database.psycopg2_adapter = made  # init() instantiates it


def connect_unrouted(database: Any, parameters: dict[str, Any]) -> Any:
    """A connection as peewee opens it, whether the database is routed or not."""
    adapter = database._adapter
    connect = adapter.connect_unrouted if isinstance(adapter, _ConnectingAdapter) else adapter.connect
    return connect(database, **parameters)


class _ConnectingAdapter:
    """Goes in front of the class of a database's own adapter, which is what peewee calls the part that connects."""

    connector: Connector

    def connect(self, db: Any, **params: Any) -> Any:
        return self.connector.open(super().connect, db, **params)  # type: ignore[misc]  # the other base has it

    def connect_unrouted(self, db: Any, **params: Any) -> Any:
        return super().connect(db, **params)  # type: ignore[misc]


class _RoutedAdapter(_ConnectingAdapter):
    """The same where connections are routed."""

    def is_connection_closed(self, conn: Any) -> bool:
        """Whether a pool must not lend an idle connection again; asked at each check-out."""
        if self.connector.is_outdated(conn):
            conn.close()
            return True
        if was_lost(conn):
            past_use = self.connector.is_past_use(conn)
            if past_use:
                conn.close()
            return past_use
        if conn.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            return bool(super().is_connection_closed(conn))  # type: ignore[misc]
        try:
            ping(conn)
        except psycopg2.Error:
            return True
        return False

    def is_connection_reusable(self, conn: Any) -> bool:
        """Whether a pool may keep a connection; asked at each check-in."""
        return not self.connector.is_outdated(conn) and bool(super().is_connection_reusable(conn))  # type: ignore[misc]


def _routed_class(own: type, router: Router, kind: type = _RoutedAdapter) -> type:
    made: type = named_like(own, kind, own, connector=Connector(router))
    return made


def _initializing(database: Any, router: Router) -> Any:
    """The database's hook for new connections. The session settings that it makes are not left by a function."""
    initialize = database._initialize_connection

    def initialized(connection: Any) -> None:
        _check(database, connection)
        invocation = current_invocation()
        left = invocation is not None and invocation.of(router).leaves_state
        initialize(connection)
        if invocation is not None:
            invocation.of(router).leaves_state = left

    return initialized


def _check(database: Any, connection: Any) -> None:
    """Close the connection that a database has opened, and raise NotSupported, unless its adapter has opened it."""
    try:
        database._adapter.connector.check(connection, f"_connect() of {type(database).__name__}", _CONNECTS_ITSELF)
    except NotSupported:  # within connect(), which holds the lock that close() takes
        if hasattr(database, "manual_close"):
            database._close(connection, close_conn=True)  # it is no longer in use for the pool
        database._state.reset()
        raise


def _moving(init: Any, router: Router) -> Any:
    """The database's ``init()``, after which its address may be another one."""

    def moved(*args: Any, **parameters: Any) -> None:
        init(*args, **parameters)
        router.forget_server()

    return moved


def _refuse_psycopg3() -> NoReturn:
    raise NotSupported("a wrapped database connects through psycopg2; call init() without prefer_psycopg3")
