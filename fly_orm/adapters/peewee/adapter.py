"""peewee: routes the connections that a ``PostgresqlDatabase`` opens through psycopg2."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import peewee
from psycopg2 import extensions as ext

from ...driver.connector import Connector, unrouted
from ...errors import ConfigurationError, NotSupported
from ...postgres.libpq import has_input
from ...postgres.subclasses import named_like
from ...routing.options import Options
from ...routing.router import Router
from ...sessions.context import current_invocation
from . import models

log = logging.getLogger("fly_orm")

#: Subclasses of PostgresqlDatabase for something else, and known by name, since few users have what they import.
_OTHERS = frozenset({"CockroachDatabase", "AsyncDatabaseMixin"})


def wrap(database: Any, options: Options) -> Any:
    """The same database, or proxy, whose connections are routed from now on, wherever it is bound already."""
    models.install()
    if isinstance(database, peewee.Proxy):
        return _wrap_proxy(database, options)
    _check_type(database)
    if router_of(database) is None and options.settings.topology.primary_region is not None:
        _install(database, options)
    elif router_of(database) is None:
        database._fly_orm = Router(WrappedPeewee(database), options, peewee)
    return database


def router_of(database: Any) -> Router | None:
    """The router of a wrapped database; None if it is not wrapped."""
    target = database.obj if isinstance(database, peewee.Proxy) else database
    return getattr(target, "_fly_orm", None)


def why_unrouted(database: Any) -> str:
    """Why a database that has been wrapped has no router."""
    target = database.obj if isinstance(database, peewee.Proxy) else database
    if target is None:
        return f"this {type(database).__name__} has no database yet; call its initialize() first"
    return f"{_obstacle(target)}, so fly_orm cannot route or serve it"


def _check_type(database: Any) -> None:
    if not isinstance(database, peewee.Database):
        raise ConfigurationError(f"wrap() takes a database object of peewee, not {database!r}")


def _wrap_proxy(proxy: Any, options: Options) -> Any:
    if proxy.obj is None:
        proxy.attach_callback(lambda database: wrap(database, options))
    else:
        wrap(proxy.obj, options)
    return proxy


def _install(database: Any, options: Options) -> None:
    obstacle = _obstacle(database)
    if obstacle is not None:
        if options.settings.topology.is_primary:
            return  # nothing to route: it behaves as without us
        raise NotSupported(f"{obstacle}, so fly_orm cannot route it from region {options.settings.topology.region!r}")
    _close(database)
    router = Router(WrappedPeewee(database), options, peewee)
    adapter = database._adapter
    adapter.__class__ = _routed_adapter(type(adapter), router)
    database._fly_orm = router
    # init() makes the adapter anew, from these.
    database.psycopg2_adapter = type(adapter)
    database.psycopg3_adapter = _refuse_psycopg3
    database._initialize_connection = _initializing(database._initialize_connection, router)


def _initializing(initialize: Any, router: Router) -> Any:
    """The database's own hook for a new connection, whose settings no function has left there."""

    def initialized(connection: Any) -> None:
        invocation = current_invocation()
        left = invocation is not None and invocation.of(router).leaves_state
        initialize(connection)
        if invocation is not None:
            invocation.of(router).leaves_state = left

    return initialized


def _obstacle(database: Any) -> str | None:
    """Why the connections of this database cannot be routed; None if they can."""
    kind = type(database).__name__
    adapter = getattr(database, "_adapter", None)
    if not isinstance(database, peewee.PostgresqlDatabase):
        return f"{kind} is no PostgresqlDatabase"
    if _OTHERS.intersection(cls.__name__ for cls in type(database).__mro__):
        return f"{kind} is not for PostgreSQL through psycopg2, although it derives from PostgresqlDatabase"
    if isinstance(adapter, peewee.Psycopg3Adapter):
        return f"this {kind} uses psycopg 3 (use psycopg2: without prefer_psycopg3)"
    if not isinstance(adapter, peewee.Psycopg2Adapter):
        return f"{kind} does not connect through psycopg2"
    return None


def _close(database: Any) -> None:
    """Close what was opened before, which is not routed."""
    if not database.is_closed():
        if database.in_transaction():
            raise ConfigurationError("wrap() was called inside a transaction; wrap a database before using it")
        database.close()
    close_idle = getattr(database, "close_idle", None)
    if close_idle is not None:
        close_idle()


class WrappedPeewee:
    """See :class:`fly_orm.routing.wrapped_database.WrappedDatabase`."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def name(self) -> str:
        name = self._database.database
        if name is None:
            raise ConfigurationError("this database has no name yet; call its init() before using it")
        if "=" in name or "://" in name:
            return ext.parse_dsn(name).get("dbname") or ""
        return str(name)

    def connect(self) -> Any:
        database = self._database
        obstacle = _obstacle(database)
        if obstacle is not None:
            raise NotSupported(f"{obstacle}, so fly_orm cannot serve it")
        connection = _plain_connect(database._adapter)(database, **unrouted(database.connect_params))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return bool(self._database.in_transaction()) or (self._open() and _status(self._database) != _IDLE)

    @contextmanager
    def call(self) -> Iterator[None]:
        database = self._database
        if self._open() and _was_lost(database.connection()):
            database.close()
        if not (database.deferred or database.autoconnect):
            database.connect(reuse_if_open=True)
        try:
            yield
        finally:
            if not database.deferred:
                self._leave_nothing()

    def flush(self) -> None:
        pass  # peewee puts nothing off

    def forget_cached_results(self) -> None:
        pass  # nor does it cache anything

    def disconnect(self) -> None:
        if not self._database.is_closed():
            self._database.close()

    def _open(self) -> bool:
        """Whether this thread has a connection of the driver's open."""
        return not self._database.is_closed() and isinstance(self._database.connection(), ext.connection)

    def _leave_nothing(self) -> None:
        """Let the next function that this thread runs find neither a transaction nor anything else of this one."""
        database = self._database
        pooled = hasattr(database, "manual_close")
        in_transaction = self.in_transaction()
        if in_transaction:
            log.warning("a function has left a transaction on %r open; it is rolled back", self.name())
            while database.in_transaction():
                database.pop_transaction()
        if in_transaction or (self._open() and self._was_changed()):
            database.manual_close() if pooled else database.close()
        elif pooled:
            database.close()  # back to its pool

    def _was_changed(self) -> bool:
        """Whether the session of this thread is another than a new connection's would be."""
        connection, invocation, router = self._database.connection(), current_invocation(), router_of(self._database)
        modes = connection.autocommit, connection.readonly, connection.deferrable
        return (
            modes != (True, None, None)
            or connection.isolation_level != self._database._isolation_level
            or (invocation is not None and invocation.of(router).leaves_state)
        )


_IDLE = ext.TRANSACTION_STATUS_IDLE


def _status(database: Any) -> Any:
    return database.connection().get_transaction_status()


def _was_lost(connection: Any) -> bool:
    """Whether a connection has lost its server while it was idle."""
    return bool(connection.closed) or has_input(connection)


def _plain_connect(adapter: Any) -> Any:
    return getattr(adapter, "connect_unrouted", adapter.connect)


class _Routed:
    """What is mixed into peewee's adapter class so that its connections are routed."""

    connector: Connector

    def connect(self, db: Any, **params: Any) -> Any:
        return self.connector.open(super().connect, db, **params)  # type: ignore[misc]  # peewee's class has it

    def connect_unrouted(self, db: Any, **params: Any) -> Any:
        return super().connect(db, **params)  # type: ignore[misc]


def _routed_adapter(base: type, router: Router) -> type:
    """The adapter class whose connections are routed; ``base`` is the one that the database has."""
    made: type = named_like(base, _Routed, base, connector=Connector(router))
    return made


def _refuse_psycopg3() -> NoReturn:
    raise NotSupported("a wrapped database connects through psycopg2; call init() without prefer_psycopg3")
