"""A node behind a connection pooler has Postgres sessions of its own, or it declines what needs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import peewee
import pytest

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.postgres.pooling import server_pid, share_sessions
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from fly_orm.testing import RoundRobin
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.two_regions import close, named, settings

SCHEMAS = ["red", "green", "blue"]
PROFILE = Profile("UTF8", ())
SOON = Deadline.after(None)


@fly_orm.on_primary
def insert_one() -> None:
    raise AssertionError("a node without sessions has run a function")


@contextmanager
def node(cluster: Any, database: str, pooler: PgBouncer) -> Iterator[Any]:
    """A node that reaches the primary through a pooler, and a factory of databases in lax that know it."""
    with ExitStack() as undo:
        db = peewee.PostgresqlDatabase(**{**named(cluster.primary, database), **pooler.parameters})
        fly_orm.wrap(db, settings=settings("syd"))
        serving = undo.enter_context(fly_orm.serve(db, listen="127.0.0.1:0", settings=settings("syd"), pool_size=4))

        def lax() -> Any:
            made = peewee.PostgresqlDatabase(**named(cluster.replica, database))
            undo.callback(close, made)
            return fly_orm.wrap(made, settings=settings("lax", serving.address))

        yield serving, lax


def test_callers_with_their_own_settings_are_kept_apart_in_session_mode(cluster: Any, database: str) -> None:
    with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
        for schema in SCHEMAS:
            cursor.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (owner text)")
    cluster.wait_for_replica()
    with pgbouncer("session", cluster.primary.params()) as pooler, node(cluster, database, pooler) as (_, lax):

        def insert(schema: str) -> None:
            db = lax()
            db.execute_sql(f"SET search_path TO {schema}")
            for _ in range(20):
                db.execute_sql("INSERT INTO t (owner) VALUES (%s)", (schema,))

        threads = [threading.Thread(target=insert, args=(schema,)) for schema in SCHEMAS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for schema in SCHEMAS:
            query = f"SELECT array_agg(DISTINCT owner), count(*)::int FROM {schema}.t"
            assert lax().execute_sql(query).fetchone() == ([schema], 20)


def test_in_transaction_mode_it_declines_before_anything_runs(
    cluster: Any, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pgbouncer("transaction", cluster.primary.params()) as pooler,
        node(cluster, database, pooler) as (serving, lax),
    ):
        db = lax()
        with pytest.raises(fly_orm.Refused, match=r"pools by transaction.*connect nodes to Postgres itself"):
            db.execute_sql("CREATE TABLE t ()")
        with pytest.raises(peewee.OperationalError):
            db.execute_sql("CREATE TABLE t ()")
        fly_orm.configure(db._fly_orm.settings)
        with pytest.raises(fly_orm.Refused, match="pools by transaction"):
            insert_one()
        with closing(cluster.primary.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('t')")
            assert cursor.fetchone() == (None,)
        with caplog.at_level(logging.WARNING):
            serving.warn_unless_primary()
        assert "pools by transaction" in caplog.text


def test_busy_clients_do_not_make_transaction_mode_look_like_session_mode(cluster: Any, database: str) -> None:
    over = threading.Event()
    with pgbouncer("transaction", cluster.primary.params()) as pooler:

        def work() -> None:
            connection = pooler.connect(database)
            with connection.cursor() as cursor:
                while not over.wait(0.0005):
                    cursor.execute("SELECT pg_sleep(0.001)")
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                one, other = pooler.connect(database), pooler.connect(database)
                assert share_sessions(one, other)
                one.close()
                other.close()
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_a_pooler_that_is_switched_to_transaction_mode_is_noticed(cluster: Any, database: str) -> None:
    with pgbouncer("session", cluster.primary.params()) as pooler:
        pool = PrimaryPool(database, lambda: pooler.connect(database), max_size=2, keeps_sessions=True)
        connections = [pool.acquire(PROFILE, SOON) for _ in range(2)]
        for connection in connections:
            pool.release(connection)
        pooler.command("SET pool_mode = 'transaction'")
        pooler.command("RECONNECT")
        with pytest.raises(fly_orm.Refused, match="pools by transaction"):
            for _ in range(20):
                pool.release(pool.acquire(PROFILE, SOON))
        pool.close()


def test_a_pooler_with_room_for_one_connection_only_is_not_believed(cluster: Any, database: str) -> None:
    with pgbouncer("session", cluster.primary.params(), default_pool_size=1, query_wait_timeout=1) as pooler:
        pool = PrimaryPool(database, lambda: pooler.connect(database), max_size=1, keeps_sessions=True)
        with pytest.raises(fly_orm.Refused, match="cannot be told, because a second connection fails"):
            pool.check()
        pool.close()


def test_a_pool_that_needs_no_session_does_not_mind(cluster: Any, database: str) -> None:
    with pgbouncer("transaction", cluster.primary.params()) as pooler:
        pool = PrimaryPool(database, lambda: pooler.connect(database), max_size=1)
        pool.release(pool.acquire(PROFILE, SOON))
        pool.close()


def test_a_pooler_that_repeats_an_old_report_is_not_believed(cluster: Any, database: str) -> None:
    """It tells new clients what the last server that it connected to has reported; they may get another one."""
    with RoundRobin(cluster.primary, cluster.replica) as address, pgbouncer("session", address.parameters) as pooler:
        first = pooler.connect(database)
        assert server_pid(first)  # takes the connection to the primary
        raw = pooler.connect(database)
        assert raw.get_parameter_status("in_hot_standby") == "off"
        pool = PrimaryPool(database, lambda: raw, max_size=1, keeps_sessions=True)
        with pytest.raises(fly_orm.NotPrimary):
            pool.check()
        pool.close()
        first.close()
