"""Reads through a connection pooler, where each transaction may reach another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..concurrency.latch import Bell
from ..position import Position
from ..postgres.recovery import is_replica
from .asking import shows

# At a higher isolation level, the snapshot of the question would serve the read too, and be older than the answer.
_BEGIN = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY"
#: Seconds before each attempt. The pooler may choose another server for the next one, or the same one may be as far by
#: then; both take much less time than a round trip to the primary.
_PAUSES = (0.0, 0.0, 0.001)


@contextmanager
def on_server_that_shows(connection: Any, position: Position) -> Iterator[bool]:
    """A block in a transaction on a replica that shows a position; True if there is one.

    False if none of the servers that the pooler chose shows it, or one does not answer. The connection, which is in
    autocommit, has no transaction then. It is marked as ``moved`` if the last server was not a replica.
    """
    if not _begin_somewhere(connection, position):
        yield False
        return
    end = "ROLLBACK"
    try:
        yield True
        end = "COMMIT"  # settings that a function has changed stay, as they would without the transaction
    finally:
        _end(connection, end)


def look_for_move(connection: Any) -> None:
    """Mark a connection as ``moved`` if the server that the pooler chooses is not a replica any more."""
    with suppress(psycopg2.Error):  # then nobody can tell
        connection.moved = not is_replica(connection, pooled=True)


def _begin_somewhere(connection: Any, position: Position) -> bool:
    for pause in _PAUSES:
        if pause:
            Bell().wait(pause)
        begun = _begin(connection, position)
        if begun is not False:
            return bool(begun)
    return False


def _begin(connection: Any, position: Position) -> bool | None:
    """Whether a transaction has begun on a server that shows the position; None if another attempt is in vain."""
    begun = None
    try:
        begun = shows(connection, position, after=f"{_BEGIN}; ")
        connection.moved = begun is None
    except psycopg2.Error:
        pass
    finally:
        if not begun:
            _end(connection, "ROLLBACK")
    return begun


def _end(connection: Any, command: str) -> None:
    # The read has its result, so that a connection that is lost now is for the next statement to find.
    with suppress(psycopg2.Error), ext.cursor(connection) as cursor:
        cursor.execute(command)
