"""A database of a Django project as the router sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from django.db import connections, transaction, utils
from psycopg2 import extensions as ext

from fly_orm.adapters.base import RoutingConnection, WrappedDatabase, unrouted
from fly_orm.errors import ConfigurationError, NotSupported

from .routing import RoutingMixin
from .session_state import is_changed

#: In settings.DATABASES[…]["TEST"]: a test runner creates the database later.
COMES_LATER = "FLY_ORM_COMES_LATER"
log = logging.getLogger("fly_orm")


class WrappedDjango(WrappedDatabase):
    """Django keeps one connection for each thread and alias. It neither defers writes nor caches results."""

    exceptions = utils

    def __init__(self, wrapper: Any) -> None:
        # A copy that no thread connects with: it makes the parameters, whose password may change.
        self._source = type(wrapper)(dict(wrapper.settings_dict), wrapper.alias)
        self._name: str | None = None
        self.retired = False
        """Whether the settings no longer lead to this database."""

    def name(self) -> str:
        if self.retired:
            raise ConfigurationError("settings.DATABASES no longer leads to this database")
        if self._name is None:
            self._name = self._find_name()
        return self._name

    @property
    def comes_later(self) -> bool:  # type: ignore[override]  # a property
        given = self._source.settings_dict
        return given["NAME"] is not None and given["TEST"].get(COMES_LATER, False)

    def connect(self) -> Any:
        connection = psycopg2.connect(**unrouted(self._source.get_connection_params()))
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return any(_in_transaction(each) for each in self._of_thread())

    def close_thread_connections(self) -> None:
        for each in self._of_thread():
            each.close()

    @contextmanager
    def function_scope(self) -> Iterator[None]:
        for each in self._of_thread():
            each.close_if_unusable_or_obsolete()
        try:
            yield
        finally:
            for each in self._of_thread():
                self._clean_up(each)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        alias = self._source.alias
        if alias not in connections:
            raise NotSupported(f"settings.DATABASES has no alias for the database {self.name()!r}")
        with transaction.atomic(using=alias, durable=True):
            yield connections[alias].connection
            _let_hooks_fail(connections[alias])

    def _of_thread(self) -> list[Any]:
        """The wrappers of the calling thread that have a connection to this database."""
        wrappers = connections.all(initialized_only=True)
        return [each for each in wrappers if isinstance(each, RoutingMixin) and self._has_opened(each)]

    def _has_opened(self, wrapper: RoutingMixin) -> bool:
        return wrapper.opened_with is not None and wrapper.opened_with.router.wrapped is self

    def _clean_up(self, wrapper: Any) -> None:
        """Close a connection unless Django would keep it, and the next function can use it as it is."""
        left_open = _in_transaction(wrapper)
        if left_open:
            log.warning(
                "a function left a transaction on %r open; it is rolled back",
                self.name(),
                extra={"event": "function_left_open", "database": self.name()},
            )
        if left_open or is_changed(wrapper.opened_with.router, wrapper):
            wrapper.close()
            if wrapper.in_atomic_block:  # it would wait for the end of the block, which never comes
                del connections[wrapper.alias]
        else:
            wrapper.close_if_unusable_or_obsolete()

    def _find_name(self) -> str:
        parameters = self._source.get_connection_params()
        if name := parameters.get("dbname"):
            return str(name)
        try:
            with closing(self.connect()) as connection:  # a service names it (Postgres manual, pg_service.conf)
                return str(connection.info.dbname)
        except psycopg2.OperationalError as error:
            raise ConfigurationError(f"the name of the database is not known: {error}") from error


def _in_transaction(wrapper: Any) -> bool:
    if wrapper.in_atomic_block:
        return True
    connection = wrapper.connection
    if isinstance(connection, RoutingConnection):
        return connection.in_transaction
    return connection.get_transaction_status() not in (ext.TRANSACTION_STATUS_IDLE, ext.TRANSACTION_STATUS_UNKNOWN)


def _let_hooks_fail(wrapper: Any) -> None:
    """Have Django log what ``on_commit()`` hooks raise, so that the committed transaction does not seem lost."""
    wrapper.run_on_commit = [(*hook[:2], True) for hook in wrapper.run_on_commit]
