"""Running SQL on a driver connection for fly_orm itself."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext

from .notices import RecentNotices
from .proxies import unproxied


def bytes_cursor(connection: Any, factory: type[ext.cursor] | None = None) -> Any:
    """A new cursor whose rows hold the bytes that Postgres sent, except for types that the driver has never heard of.

    From the first call on, all cursors of the connection do so: the driver keeps the typecasters with the connection.
    """
    raw_types = connection.string_types
    if not ext.string_types.keys() <= raw_types.keys():
        raw_types.update(dict.fromkeys(ext.string_types, ext.BYTES))
    connection.notices = RecentNotices()  # what is there later was raised by the statements of this cursor
    return connection.cursor() if factory is None else connection.cursor(cursor_factory=factory)


def recent_notices(connection: Any) -> list[str]:
    """The notices of the statements of the last cursor, without the oldest if they are too many."""
    return list(connection.notices)


def execute(connection: Any, sql: str | bytes) -> None:
    """Execute a statement whose result is not needed."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


def text_cursor(connection: Any) -> Any:
    """A cursor whose text arrives as ``str``, whatever typecasters the application has registered."""
    cursor = ext.cursor(connection)
    ext.register_type(ext.UNICODE, cursor)
    return cursor


def ping(connection: Any) -> None:
    """Ask the very server that an idle connection leads to, whatever is routed; psycopg2's error if it does not answer.

    This is no read of the session's.
    """
    with ext.cursor(unproxied(connection)) as cursor:
        cursor.execute("SELECT 1")
