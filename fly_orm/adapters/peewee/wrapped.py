"""A peewee database as the router sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee
from psycopg2 import extensions as ext

from ...errors import ConfigurationError, NotSupported
from ...postgres.connecting import parameters_in
from ...postgres.libpq import was_lost
from ...sessions.context import current_invocation
from ..base import WrappedDatabase, unrouted
from .routing import connect_unrouted, obstacle

log = logging.getLogger("fly_orm")


class WrappedPeewee(WrappedDatabase):
    """peewee keeps one connection per thread. It neither defers writes nor caches results."""

    exceptions = peewee

    def __init__(self, database: Any) -> None:
        self._database = database

    def name(self) -> str:
        name = self._database.database
        if name is None:
            raise ConfigurationError("this database has no name yet; call its init() before using it")
        if "=" in name or "://" in name:
            return parameters_in(name).get("dbname") or ""
        if "//" in name:  # a URL that lacks its colon, whose password would be in every message about the database
            raise ConfigurationError(
                "the database's name is not a valid URL; write postgresql://USER:PASSWORD@HOST/NAME"
            )
        return str(name)

    def connect(self) -> Any:
        why = obstacle(self._database)
        if why is not None:
            raise NotSupported(f"{why}, so fly_orm cannot serve it")
        connection = connect_unrouted(self._database, unrouted(self._database.connect_params))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return bool(self._database.in_transaction()) or (self._is_open() and _is_busy(self._database.connection()))

    def close_thread_connections(self) -> None:
        if not self._database.is_closed():
            self._database.close()

    @contextmanager
    def function_scope(self) -> Iterator[None]:
        database = self._database
        if self._is_open() and was_lost(database.connection()):
            database.close()
        if not (database.deferred or database.autoconnect):
            database.connect(reuse_if_open=True)
        try:
            yield
        finally:
            if not database.deferred:
                self._clean_up()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._database.atomic():
            yield self._database.connection()

    def _is_open(self) -> bool:
        """Whether this thread has a psycopg2 connection open."""
        return not self._database.is_closed() and isinstance(self._database.connection(), ext.connection)

    def _clean_up(self) -> None:
        """Roll back an open transaction, and close the connection unless the next function can use it as it is."""
        database = self._database
        pooled = hasattr(database, "manual_close")
        lost = self._is_open() and bool(database.connection().closed)
        in_transaction = self.in_transaction()
        if in_transaction:
            log.warning(
                "a function left a transaction on %r open; it is rolled back",
                self.name(),
                extra={"event": "function_left_open", "database": self.name()},
            )
            while database.in_transaction():
                database.pop_transaction()
        if lost or in_transaction or (self._is_open() and self._has_changed()):
            database.manual_close() if pooled else database.close()
        elif pooled:
            database.close()  # back to its pool

    def _has_changed(self) -> bool:
        """Whether the connection of this thread differs from a new one in its modes or its session settings."""
        connection, invocation = self._database.connection(), current_invocation()
        modes = connection.autocommit, connection.readonly, connection.deferrable
        return (
            modes != (True, None, None)
            or connection.isolation_level != self._database._isolation_level
            or (invocation is not None and invocation.of(self._database._fly_orm).leaves_state)
        )


def _is_busy(connection: ext.connection) -> bool:
    """Whether a transaction is open. One that was open on a connection that is lost now has been rolled back."""
    return connection.get_transaction_status() not in (ext.TRANSACTION_STATUS_IDLE, ext.TRANSACTION_STATUS_UNKNOWN)
