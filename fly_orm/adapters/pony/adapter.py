"""Pony: routes the connections that a ``Database`` opens to PostgreSQL through psycopg2.

Pony reads in autocommit, and switches to a transaction where reading turns into writing, of which the routing
connection makes one on the primary. What only Pony knows, which db_sessions must not read on a replica, its provider
tells.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pony.orm import core, dbapiprovider
from pony.orm.dbproviders.postgres import PGPool, PGProvider
from psycopg2 import extensions as ext

from ...driver.connection import RoutingConnection
from ...driver.connector import unrouted
from ...errors import ConfigurationError, NotSupported
from ...routing.options import Options
from ...routing.router import Router
from . import entities
from .provider import RoutingProvider, route_raw_sql, routed_pool, routed_provider


def wrap(database: Any, options: Options) -> Any:
    """The same database, whose connections are routed from now on, whether it is bound already or will be."""
    entities.install()
    if not isinstance(database, core.Database):
        raise ConfigurationError(f"wrap() takes a database object of Pony, not {database!r}")
    if router_of(database) is not None:
        return database
    if options.on_lag == "raise":
        raise ConfigurationError('Pony repeats what raises at a commit: on_lag="raise" would let it write twice')
    topology = options.settings.topology
    if core.local.db2cache.get(database) is not None:
        raise ConfigurationError("wrap() was called inside a db_session that uses this database; wrap it before")
    obstacle = None if database.provider is None else _obstacle(type(database.provider))
    if obstacle is not None and topology.primary_region is not None:
        if topology.is_primary:
            return database  # nothing to route: it behaves as without us
        raise NotSupported(f"{obstacle}, so fly_orm cannot route it from region {topology.region!r}")
    router = Router(WrappedPony(database), options, dbapiprovider)
    database._fly_orm = router
    if topology.primary_region is None:
        return database
    route_raw_sql(database)
    if database.provider is None:
        database._bind = _binding(database, router)
    else:
        provider = database.provider
        provider.__class__ = routed_provider(router)
        provider.pool.__class__ = routed_pool(router)
    return database


def router_of(database: Any) -> Router | None:
    """The router of a wrapped database; None if it is not wrapped."""
    router: Router | None = getattr(database, "_fly_orm", None)
    return router


def why_unrouted(database: Any) -> str:
    """Why a database that has been wrapped has no router."""
    return f"{_obstacle(type(database.provider))}, so fly_orm cannot route or serve it"


def _obstacle(provider: type) -> str | None:
    """Why the connections of this provider cannot be routed; None if they can."""
    if provider is PGProvider or issubclass(provider, RoutingProvider):
        return None
    dialect = getattr(provider, "dialect", None) or provider.__name__
    return f"this Pony database is bound to {dialect} ({provider.__name__}), and not to PostgreSQL through psycopg2"


def _binding(database: Any, router: Router) -> Any:
    """What takes the place of ``Database._bind``: every form of ``bind`` ends there."""
    original = database._bind

    def bind(*args: Any, **kwargs: Any) -> None:
        name, given, parameters = _provider_of(args, kwargs)
        provider = PGProvider if name == "postgres" else name
        if not isinstance(provider, type) or _obstacle(provider) is not None:
            _refuse_elsewhere(name, router)
            original(*args, **kwargs)
            return
        known = database.provider_name
        if name == "postgres":
            database.provider_name = name  # as Pony leaves it, bound by name
        try:
            original(routed_provider(router), *given, **parameters)
        except BaseException:
            database.provider_name = known
            raise

    return bind


def _provider_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The provider among the arguments of ``bind``, in any of its forms, and the other arguments."""
    if len(args) == 1 and not kwargs and hasattr(args[0], "keys"):
        return _provider_of((), dict(args[0]))
    if args:
        return args[0], args[1:], kwargs
    return kwargs.get("provider"), (), {name: value for name, value in kwargs.items() if name != "provider"}


def _refuse_elsewhere(provider: Any, router: Router) -> None:
    """A database of another kind is left alone in the primary region, and refused in the others."""
    topology = router.settings.topology
    if provider is None or topology.is_primary:
        return
    raise NotSupported(
        f"a Pony database that is bound to {provider!r} cannot be routed from region {topology.region!r}: "
        "only 'postgres' can"
    )


class WrappedPony:
    """See :class:`fly_orm.routing.wrapped_database.WrappedDatabase`."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self._name: str | None = None
        self.pool: Any = None
        """Pony's pool, once the database is bound."""

    def name(self) -> str:
        if self._name is None:
            pool = self._bound_pool()
            if not isinstance(pool, PGPool):
                raise ConfigurationError(why_unrouted(self.database))
            named = ext.parse_dsn(ext.make_dsn(*pool.args[:1], **_addressing(pool.kwargs))).get("dbname")
            self._name = named or self._ask_for_name()
        return self._name

    def connect(self) -> Any:
        pool = self._bound_pool()
        if not isinstance(pool, PGPool):
            raise NotSupported(why_unrouted(self.database))
        connection = pool.dbapi_module.connect(*pool.args, **unrouted(pool.kwargs))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        cache = core.local.db2cache.get(self.database)
        if cache is None or not (cache.in_transaction or cache.modified):
            return False
        if isinstance(cache.connection, RoutingConnection):  # after a commit, Pony takes a read here for a transaction
            return bool(cache.modified or cache.connection.in_transaction)
        return True

    def flush(self) -> None:
        if core.local.db_context_counter:
            core.flush()

    def forget_cached_results(self) -> None:
        cache = core.local.db2cache.get(self.database)
        if cache is not None:
            cache.query_results.clear()

    def call(self) -> AbstractContextManager[None]:
        return entities.call()

    def disconnect(self) -> None:
        self.database.disconnect()

    def _ask_for_name(self) -> str:
        connection = self.connect()
        try:
            return str(connection.info.dbname)
        finally:
            connection.close()

    def _bound_pool(self) -> Any:
        if self.pool is None:
            provider = self.database.provider
            if provider is None:
                raise ConfigurationError("this Pony database is not bound yet; call its bind() first")
            self.pool = provider.pool
        return self.pool


def _addressing(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those that say where to connect, and not of what class the connection is."""
    return {name: value for name, value in parameters.items() if name not in ("connection_factory", "cursor_factory")}
