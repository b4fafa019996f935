"""Explains why a replica refuses to write, where PRIMARY_REGION is not set and statements are not routed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from psycopg2 import errors
from psycopg2 import extensions as ext

from .mixing import mix

_HINT = (
    "HINT:  PRIMARY_REGION is not set, so fly_orm executes every statement on the server that this process connects "
    "to, and that server is a replica. Set PRIMARY_REGION to the region of the primary.\n"
)


class ExplainingCursor(ext.cursor):
    """A cursor on a replica, whose refusals to write come with a hint."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        with _explained():
            return super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with _explained():
            return super().executemany(query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        with _explained():
            return super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        with _explained():
            return super().copy_expert(sql, file, size)

    def copy_from(self, file: Any, table: Any, *args: Any, **options: Any) -> None:
        with _explained():
            return super().copy_from(file, table, *args, **options)


def explain_refusals(connection: Any) -> bool:
    """Let the cursors of a connection explain refusals, if it has reached a replica. Returns whether it has.

    Only what the server reports by itself is looked at, so this costs no query.
    """
    if connection.get_parameter_status("in_hot_standby") != "on":
        return False
    connection.cursor_factory = _explaining(connection.cursor_factory or ext.cursor)
    return True


@cache
def _explaining(cursor_class: Any) -> Any:
    return mix(cursor_class, ExplainingCursor)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except errors.ReadOnlySqlTransaction as error:
        error.args = (f"{str(error).rstrip()}\n{_HINT}", *error.args[1:])
        raise
