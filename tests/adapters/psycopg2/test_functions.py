"""Functions on a node use a connection factory and pools over it, and inherit no transaction from each other."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

import fly_orm
from fly_orm import Route
from fly_orm.testing import Cluster
from tests.support import pooled_app
from tests.support.nodes import node_process, url
from tests.support.one_table import INSERT, TABLE
from tests.support.two_regions import settings


@pytest.fixture
def connection(cluster: Cluster, database: str) -> Iterator[Any]:
    """A connection in lax. A node in syd, which is a process of its own, serves the factory of the application."""
    with cluster.primary.connect(database).cursor() as cursor:
        cursor.execute(TABLE)
    cluster.wait_for_replica()
    with node_process("tests.support.pooled_app:database", **{pooled_app.URL: url(cluster.primary, database)}) as node:
        fly_orm.configure(settings("lax", node.address()))
        made = psycopg2.connect(url(cluster.replica, database), connection_factory=pooled_app.database)
        made.autocommit = True
        yield made
        made.close()
    del made
    gc.collect()


def names(connection: Any) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM t ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def test_one_writes_through_a_pool_and_its_caller_reads_that_here(connection: Any) -> None:
    assert pooled_app.stock("a", "b") == [1, 2]
    assert pooled_app.stock("c") == [3]
    assert names(connection) == ["a", "b", "c"]
    assert fly_orm.why().route is Route.LOCAL  # type: ignore[union-attr]


def test_a_transaction_that_one_leaves_open_is_rolled_back_and_its_connection_kept(connection: Any) -> None:
    pooled_app.leave_open("never")
    assert pooled_app.what_is_left() == [(0, psycopg2.extensions.TRANSACTION_STATUS_IDLE)]
    assert pooled_app.stock("next")
    assert names(connection) == ["next"]


def test_none_joins_a_transaction_of_the_calling_thread_whoever_opened_the_connection(connection: Any) -> None:
    connection.autocommit = False
    connection.cursor().execute(INSERT, ("here",))
    with pytest.raises(psycopg2.NotSupportedError, match="cannot join the one that is open"):
        pooled_app.stock("a")
    refused: list[BaseException] = []

    def elsewhere() -> None:
        assert pooled_app.stock("elsewhere")  # no transaction of this thread's is open
        connection.rollback()
        connection.cursor().execute(INSERT, ("there",))
        try:
            pooled_app.stock("a")
        except psycopg2.NotSupportedError as error:
            refused.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(refused) == 1
    assert pooled_app.stock("b")
    connection.rollback()
    connection.defers_transactions = True
    assert names(connection) == ["elsewhere", "b"]
    assert pooled_app.stock("c")  # nothing has begun
    connection.rollback()
