"""Lets ``fly_orm.wrap()`` take an :class:`ExampleFactory`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from fly_orm.adapters.base import Adapter, Connector, Options, Router, WrappedDatabase, unrouted
from fly_orm.errors import ConfigurationError

from .factory import ExampleFactory


class Psycopg2Adapter(Adapter):
    """Replaces the function by which a factory opens connections. The router is an attribute of the factory."""

    def wrap(self, database: Any, options: Options) -> Any:
        if not isinstance(database, ExampleFactory):
            raise ConfigurationError(f"wrap() takes an ExampleFactory, not {database!r}")
        if self.router_of(database) is None:
            _wrap(database, options)
        return database

    def router_of(self, database: Any) -> Router | None:
        router: Router | None = getattr(database, "router", None)
        return router


def _wrap(factory: Any, options: Options) -> None:
    if factory.opened:
        raise ConfigurationError("wrap() was called after connect(); wrap an ExampleFactory before using it")
    factory.router = Router(WrappedFactory(factory), options)
    factory.open = partial(Connector(factory.router).open, factory.open)


class WrappedFactory(WrappedDatabase):
    """A factory as the router sees it."""

    def __init__(self, factory: ExampleFactory) -> None:
        self._factory = factory

    def name(self) -> str:
        name = self._factory.parameters.get("dbname")
        if name is None:
            raise ConfigurationError("the ExampleFactory does not say which database it is for; pass it a dbname")
        return str(name)

    def connect(self) -> ext.connection:
        connection: ext.connection = psycopg2.connect(**unrouted(self._factory.parameters))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return any(not connection.closed and _is_busy(connection) for connection in self._factory.opened)

    def close_thread_connections(self) -> None:
        for connection in self._factory.opened:
            connection.close()
        self._factory.opened.clear()

    @contextmanager
    def function_scope(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.close_thread_connections()  # which rolls back what the function did not commit


def _is_busy(connection: ext.connection) -> bool:
    return connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE
