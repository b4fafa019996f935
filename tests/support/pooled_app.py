"""An application on a pool of psycopg2's, through a connection factory. A node of another process serves it in syd."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import Any

from psycopg2.pool import ThreadedConnectionPool

import fly_orm

#: The variable that says where a process finds the server of its region.
URL = "POOLED_URL"

database = fly_orm.connection_factory(os.environ.get(URL))


@cache
def pool() -> Any:
    return ThreadedConnectionPool(1, 4, os.environ[URL], connection_factory=database)


@contextmanager
def transaction() -> Any:
    """A cursor in a transaction of a connection from the pool."""
    connection = pool().getconn()
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        pool().putconn(connection)


@fly_orm.on_primary
def stock(*names: str) -> list[int]:
    """Create rows in one transaction, and return their numbers."""
    with transaction() as cursor:
        numbers = []
        for name in names:
            cursor.execute("INSERT INTO t (name) VALUES (%s) RETURNING id", (name,))
            numbers += cursor.fetchone()
        return numbers


left: list[Any] = []


@fly_orm.on_primary
def leave_open(name: str) -> None:
    """Begin a transaction, and go on referring to its connection."""
    left.append(pool().getconn())
    left[-1].cursor().execute("INSERT INTO t (name) VALUES (%s)", (name,))


@fly_orm.on_primary
def what_is_left() -> list[tuple[int, int]]:
    """Of each connection that was left, whether it is closed, and the status of its transaction."""
    return [(connection.closed, connection.get_transaction_status()) for connection in left]
