"""Reads through a connection pooler, where each transaction may reach another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..position import Position
from .asking import shows

# At a higher isolation level, the snapshot of the question would serve the read too, and be older than the answer.
_BEGIN = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY"


@contextmanager
def on_server_that_shows(connection: Any, position: Position) -> Iterator[bool]:
    """A block in a transaction on a replica that shows a position; True if there is one.

    False if the server that the pooler chose does not show it, or does not answer. The connection, which is in
    autocommit, has no transaction then. It is marked as ``moved`` if that server is not a replica.
    """
    if not _begin(connection, position):
        yield False
        return
    end = "ROLLBACK"
    try:
        yield True
        end = "COMMIT"  # settings that a function has changed stay, as they would without the transaction
    finally:
        _end(connection, end)


def _begin(connection: Any, position: Position) -> bool:
    begun: bool | None = False
    try:
        begun = shows(connection, position, after=f"{_BEGIN}; ")
        connection.moved = begun is None
    except psycopg2.Error:
        pass
    finally:
        if not begun:
            _end(connection, "ROLLBACK")
    return bool(begun)


def _end(connection: Any, command: str) -> None:
    # The read has its result, so that a connection that is lost now is for the next statement to find.
    with suppress(psycopg2.Error), ext.cursor(connection) as cursor:
        cursor.execute(command)
