"""Errors that the driver raises for a cursor, where fly_orm raises them in its place."""

from __future__ import annotations

from typing import Any

import psycopg2

from ..postgres.sql_error import rebuild
from ..protocol.messages import SQLError

EMPTY = "can't execute an empty query"


def programming_error(cursor: Any, message: str) -> psycopg2.ProgrammingError:
    """The error that a method of this cursor raises, as the driver makes it: with the cursor."""
    error: Any = rebuild(SQLError(driver_class="ProgrammingError", message=message, sqlstate=None, text=None))
    error.cursor = cursor
    made: psycopg2.ProgrammingError = error
    return made


def has_cursor(error: BaseException, sql: bytes) -> bool:
    """Whether the driver would give this error of the server's its cursor.

    It does not where libpq has found nothing in a query but spaces and comments.
    """
    return not (isinstance(error, psycopg2.ProgrammingError) and error.pgcode is None and bool(sql))


def unchain(raised: BaseException, handled: BaseException) -> None:
    """Let an exception not show another one, during whose handling it was raised, as its context."""
    link = raised
    while link.__context__ is not None:
        if link.__context__ is handled:
            link.__context__ = handled.__context__
            return
        link = link.__context__
