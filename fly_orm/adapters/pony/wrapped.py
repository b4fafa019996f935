"""A Pony database as the router sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pony.orm import core, dbapiprovider
from pony.orm.dbproviders.postgres import PGPool
from psycopg2 import extensions as ext

from ...errors import ConfigurationError, NotSupported
from ...postgres.connecting import parameters_in
from ..base import RoutingConnection, WrappedDatabase, unrouted
from . import entities
from .provider import obstacle

#: Parameters of ``psycopg2.connect`` that do not say where to connect.
_FACTORIES = ("connection_factory", "cursor_factory")


class WrappedPony(WrappedDatabase):
    """Pony keeps one connection per thread, defers writes to the end of the db_session, and caches query results."""

    exceptions = dbapiprovider

    def __init__(self, database: Any) -> None:
        self.database = database
        self.pool: Any = None
        """Pony's pool while the database is being bound, when its provider is not known yet."""
        self._named: tuple[Any, str] = None, ""
        """The last pool that was asked for, and the name of its database."""

    def name(self) -> str:
        pool = self._psycopg2_pool(ConfigurationError)
        named, name = self._named
        if named is not pool:
            address = {key: value for key, value in pool.kwargs.items() if key not in _FACTORIES}
            name = parameters_in(ext.make_dsn(*pool.args[:1], **address)).get("dbname") or self._ask_for_name()
            self._named = pool, name
        return name

    def connect(self) -> Any:
        pool = self._psycopg2_pool(NotSupported)
        connection = pool.dbapi_module.connect(*pool.args, **unrouted(pool.kwargs))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        cache = core.local.db2cache.get(self.database)
        if cache is None or not (cache.in_transaction or cache.modified):
            return False
        # After a commit, Pony counts a read in autocommit mode as a transaction; the routing connection does not.
        if isinstance(cache.connection, RoutingConnection):
            return bool(cache.modified or cache.connection.in_transaction)
        return True

    def close_thread_connections(self) -> None:
        self.database.disconnect()

    def function_scope(self) -> AbstractContextManager[None]:
        return entities.function_scope()

    def in_block(self) -> bool:
        return bool(core.local.db_context_counter)

    def allow_block(self) -> None:
        entities.allow_db_session()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with entities.open_db_session():
            try:
                yield self.database.get_connection()
                self.database.commit()
            except BaseException:
                self.database.rollback()
                raise

    def flush(self) -> None:
        if core.local.db_context_counter:
            core.flush()

    def clear_cached_results(self) -> None:
        cache = core.local.db2cache.get(self.database)
        if cache is not None:
            cache.query_results.clear()

    def _ask_for_name(self) -> str:
        connection = self.connect()
        try:
            return str(connection.info.dbname)
        finally:
            connection.close()

    def _psycopg2_pool(self, otherwise: type[Exception]) -> Any:
        """Pony's pool; ConfigurationError if there is none yet, ``otherwise`` if it is one for another driver."""
        provider = self.database.provider
        pool = self.pool if provider is None else provider.pool
        if pool is None:
            raise ConfigurationError("this Pony database is not bound yet; call its bind() first")
        if not isinstance(pool, PGPool):
            raise otherwise(f"{obstacle(type(provider))}, so fly_orm cannot route or serve it")
        return pool
