"""Connections to a primary: psycopg2's own, whose statements are noted in a session that wants to know of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from psycopg2 import extensions as ext

from ..classify import Kind
from ..session import notes
from .mixing import mix
from .text import text_of

#: Stands for the statement by which a server-side cursor fetches.
_FETCH = "TABLE fetched"
_NOTHING: AbstractContextManager[None] = nullcontext()
_SETTINGS = frozenset({Kind.SET, Kind.SET_LOCAL})
_ASYNCHRONOUS = "synchronous_commit"


class WatchedCursor(ext.cursor):
    """A cursor on a primary, whose statements are noted in a session that wants to know of them."""

    connection: Any  # a WatchedConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        with self._watched(query):
            return super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with self._watched(query):
            return super().executemany(query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        with self._watched(f"SELECT * FROM {procname}()"):  # noqa: S608  # it is not executed
            return super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        with self._watched(sql):
            return super().copy_expert(sql, file, size)

    def copy_from(self, file: Any, table: Any, *args: Any, **options: Any) -> None:
        with self._watched("COPY t FROM stdin"):
            return super().copy_from(file, table, *args, **options)

    def copy_to(self, file: Any, table: Any, *args: Any, **options: Any) -> None:
        with self._watched("COPY t TO stdout"):
            return super().copy_to(file, table, *args, **options)

    def _watched(self, query: Any) -> AbstractContextManager[None]:
        connection, noted = self.connection, notes()
        text = text_of(query, self)
        statement = connection.router.classify(text)
        if statement.kind in _SETTINGS and _ASYNCHRONOUS in (statement.name or _ASYNCHRONOUS):
            connection.asynchronous = True  # from now on, for whatever session
        if noted is None:
            return _NOTHING
        if connection.asynchronous:
            noted.of(connection.router).asynchronous = True
        return noted.statement(connection.router, connection, statement, text)


class WatchedNamedCursor(WatchedCursor):
    """One that fetches from the server, which takes its time for each batch."""

    def fetchone(self) -> Any:
        with self._watched(_FETCH):
            return super().fetchone()

    def fetchmany(self, size: Any = None) -> Any:
        with self._watched(_FETCH):
            return super().fetchmany(*(() if size is None else (size,)))

    def fetchall(self) -> Any:
        with self._watched(_FETCH):
            return super().fetchall()

    def __next__(self) -> Any:
        with self._watched(_FETCH):
            return super().__next__()


class WatchedConnection(ext.connection):
    """A connection to a primary. Where there are no other regions, its cursors are psycopg2's own, in most sessions."""

    router: Any
    asynchronous = False
    """Whether its commits may not wait for their WAL, since somebody has said so in a SET that may not be undone."""

    def cursor(
        self, name: Any = None, cursor_factory: Any = None, withhold: bool = False, scrollable: bool | None = None
    ) -> Any:
        noted = notes()
        if noted is None and self.router.settings.topology.primary_region is None:
            return super().cursor(name, cursor_factory, withhold, scrollable)
        factory: Any = cursor_factory or self.cursor_factory or ext.cursor  # type: ignore[truthy-function]  # may be None
        if not isinstance(factory, type):
            if noted is not None:
                noted.of(self.router).wrote = True  # there is no telling what its cursors do
        elif not issubclass(factory, WatchedCursor):
            factory = _watched_class(factory, WatchedCursor if name is None else WatchedNamedCursor)
        return super().cursor(name, factory, withhold, scrollable)

    def lobject(self, *args: Any, **kwargs: Any) -> Any:
        if (noted := notes()) is not None:
            noted.of(self.router).wrote = True
        return super().lobject(*args, **kwargs)

    def commit(self) -> None:
        if (noted := notes()) is not None:
            noted.check()
        super().commit()


_classes: dict[Any, Any] = {}


def _watched_class(factory: Any, watched: type[WatchedCursor]) -> Any:
    key = factory, watched
    return _classes.get(key) or _classes.setdefault(key, mix(factory, watched))
