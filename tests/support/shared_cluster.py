"""The cluster that tests share is the same for each of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import psycopg2

from fly_orm.testing import Cluster, Server
from fly_orm.testing.cluster import creation, removal
from tests.support.waiting import until

T = TypeVar("T")

#: What a test may have done to the replica.
STATE = """
    SELECT ARRAY[pg_is_in_recovery()::text, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::text END,
        current_setting('recovery_min_apply_delay')]
"""
_numbers = itertools.count(1)
_kept: WeakKeyDictionary[Server, Any] = WeakKeyDictionary()
"""A connection to each server: to open one costs twenty times as much as a query."""


def restore(cluster: Cluster) -> None:
    """Both servers run in their roles, and nothing holds replay up."""
    cluster.primary.start()
    try:
        cluster.replica.start()
    except RuntimeError:
        # It was killed, and cannot replay again what it has replayed: to create a database, it copies the files that
        # the template has by then, which may have more in them than when they were copied for the first time.
        cluster.rebuild(cluster.replica, cluster.primary)
    assert not _ask(cluster.primary, "SELECT pg_is_in_recovery()")
    replica, paused, delay = _ask(cluster.replica, STATE)
    assert replica == "true", "a test has promoted the shared cluster's replica"
    if paused == "true":
        cluster.resume_replay()
    if delay != "0":
        cluster.apply_delay(0)


def make_database(cluster: Cluster) -> str:
    """The name of an empty database, which the replica has too."""
    name = f"test_{next(_numbers)}"
    _on(cluster.primary, lambda connection: connection.cursor().execute(quick_creation(connection, name)))
    flushed = _ask(cluster.primary, "SELECT pg_current_wal_flush_lsn()::text")
    until(lambda: _ask(cluster.replica, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", flushed))
    return name


def quick_creation(connection: Any, name: str) -> str:
    """The statement that creates a database, for a third less: it copies files rather than log each of their blocks."""
    strategy = "STRATEGY FILE_COPY" if connection.server_version >= 15_00_00 else ""  # always so in PostgreSQL 14
    return f"{creation(connection, name)} {strategy}"


def drop_database(cluster: Cluster, name: str) -> None:
    """Drop a database, and end the connections to it; the primary may be down."""
    cluster.primary.start()
    _on(cluster.primary, lambda connection: connection.cursor().execute(removal(connection, name)))


def _ask(server: Server, sql: str, *parameters: object) -> Any:
    """The first column of the first row of a query."""
    return _on(server, partial(_first, sql=sql, parameters=parameters))


def _first(connection: Any, sql: str, parameters: tuple[object, ...]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0]


def _on(server: Server, act: Callable[[Any], T]) -> T:
    """What ``act`` returns for a connection that is kept from one test to the next."""
    if (kept := _kept.pop(server, None)) is not None:
        try:
            done = act(kept)
        except psycopg2.Error:  # the server was restarted, perhaps, or has ended the connection
            kept.close()
        else:
            _kept[server] = kept
            return done
    kept = _kept[server] = server.connect()
    return act(kept)
