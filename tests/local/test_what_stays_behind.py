"""A database that is no longer used has no connections and no threads."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from contextlib import closing

import peewee
import pytest

import fly_orm
from tests.support.two_regions import close, named, settings, way
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("impatient", "no_spare_channels")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("fly_orm.concurrency.patience.SHORTEST", 0.4)
    monkeypatch.setattr("fly_orm.concurrency.patience.LONGEST", 0.4)  # also where a busy machine makes long breaks


@pytest.fixture
def lax(regions, monkeypatch):
    """Makes databases in lax, all of one runtime, which has opened a channel."""
    monkeypatch.setattr("fly_orm.concurrency.timer.LINGER", 0.1)
    regions.query("CREATE TABLE t (i int)")
    fly_orm.configure(regions.lax_settings(channel_idle_timeout=0.4))

    def make(**options):
        return fly_orm.wrap(peewee.PostgresqlDatabase(**named(regions.cluster.replica, regions.name)), **options)

    with closing(make()) as first:
        use(first)
        first._fly_orm.local.close()
    return make


@pytest.fixture
def connections(regions):
    """How many connections both servers have to the database."""
    sql = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{regions.name}'"
    return lambda: regions.cluster.primary.query(sql) + regions.cluster.replica.query(sql)


def use(database):
    """Write, read that, and ask for the position of what was read."""
    with fly_orm.session():
        database.execute_sql("INSERT INTO t VALUES (1)")
        database.execute_sql("SELECT FROM t").fetchall()
        database._fly_orm.local.replica.position()


def names_of_threads():
    return Counter(thread.name for thread in threading.enumerate())


def test_databases_that_are_collected_leave_nothing(lax, connections, regions, monkeypatch):
    until(lambda: not connections())
    before = names_of_threads()  # those that earlier tests have left may end meanwhile
    monkeypatch.setattr("fly_orm.concurrency.patience.SHORTEST", 60.0)  # nothing goes only because it is idle
    databases = [lax() for _ in range(20)]
    for database in databases:
        use(database)
        assert connections() >= 2  # its own, and one of fly_orm's at least
        database.close()
    databases.clear()
    del database
    gc.collect()
    regions.serving.close()  # whose connections are not the databases'
    until(
        lambda: not (connections() or names_of_threads() - before),
        lambda: f"{connections()} connections and the threads {names_of_threads() - before} are left",
    )


def test_a_database_that_is_kept_has_no_idle_connections_of_fly_orms_own(lax, connections, regions):
    database = lax()
    use(database)
    until(lambda: connections() == 1)  # its own
    use(database)
    database.close()
    until(lambda: connections() == 0)


def test_a_database_in_use_keeps_the_connection_that_waits(lax, regions):
    sql = f"SELECT pid FROM pg_stat_activity WHERE datname = '{regions.name}' AND query ~ 'pg_last_wal_replay_lsn'"
    with closing(lax()) as database:
        database.execute_sql("INSERT INTO t VALUES (1)")
        before = regions.cluster.replica.query(sql)
        for _ in range(20):
            database.execute_sql("INSERT INTO t VALUES (1)")
            threading.Event().wait(0.05)
        assert before
        assert regions.cluster.replica.query(sql) == before


def test_the_connection_that_waits_is_opened_while_a_write_travels(lax, regions, connections):
    database = lax()

    def write():
        with closing(database):
            database.execute_sql("INSERT INTO t VALUES (1)")

    until(lambda: not connections())
    regions.wan.stall()
    thread = threading.Thread(target=write)
    thread.start()
    until(lambda: connections() == 2)  # its own, and the one that waits
    regions.wan.heal()
    thread.join()


def test_a_wait_is_never_cut_short_by_idling(lax, regions):
    with closing(lax()) as database, regions.cluster.replay_paused():
        done = threading.Event()

        def write():
            with closing(database):
                database.execute_sql("INSERT INTO t VALUES (1)")
                done.set()

        thread = threading.Thread(target=write)
        thread.start()
        assert not done.wait(1.2)  # three times as long as something idle is kept
        regions.cluster.replica.query("SELECT pg_wal_replay_resume()")
        assert done.wait(3)
        thread.join()


@pytest.mark.parametrize("region", ["lax", "syd"])
def test_a_database_can_be_copied_and_dropped_soon_after_it_was_used(regions, lax, region, monkeypatch):
    monkeypatch.setattr("fly_orm.concurrency.patience.SHORTEST", 60.0)  # the node makes way, rather than go by itself
    cluster, names = regions.cluster, [regions.name, "short_lived"]
    cluster.create_database("short_lived")
    cluster.wait_for_replica()
    served = [
        fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.primary, name)), settings=settings("syd"))
        for name in names
    ]
    with fly_orm.serve(*served, listen=way.listen(), settings=settings("syd")) as serving:
        there = {"settings": settings("lax", serving.address)}
        admin, short_lived = (
            fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.replica, name)), **there) for name in names
        )
        with closing(short_lived):
            short_lived.execute_sql("CREATE TABLE t (i int)")
        with closing(admin if region == "lax" else served[0]) as other:
            other.execute_sql("CREATE DATABASE copied TEMPLATE short_lived")
            with closing(short_lived):
                short_lived.execute_sql("INSERT INTO t VALUES (1)")
            for name in ("short_lived", "copied"):
                other.execute_sql(f"DROP DATABASE {name}")
        for database in (admin, short_lived):
            close(database)
