"""A pool keeps no connection that nobody uses, and makes way for statements that need the database alone."""

from __future__ import annotations

import threading

import pytest

from fly_orm.deadline import Deadline
from fly_orm.postgres.making_way import make_way_for
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from tests.support.waiting import until

PROFILE = Profile("UTF8", ())
SOON = Deadline.after(None)


@pytest.fixture
def connections(cluster, database):
    """How many connections to the database there are."""
    return lambda: cluster.primary.query(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("fly_orm.concurrency.patience.SHORTEST", 0.2)


@pytest.fixture
def pool(impatient, pool):
    return pool


def cleaners(name):
    return [thread for thread in threading.enumerate() if thread.name == f"fly_orm cleaner of {name}"]


def test_idle_connections_and_the_cleaner_end_after_some_seconds(pool, connections):
    one, two = pool.acquire(PROFILE, SOON), pool.acquire(PROFILE, SOON)
    pool.release(one)
    assert cleaners(pool.name)
    pool.release(two)
    until(lambda: connections() == 0)
    until(lambda: not cleaners(pool.name))
    assert one.raw.closed
    assert two.raw.closed


def test_a_connection_that_was_only_looked_at_ends_too(pool, connections):
    pool.check()
    assert connections() == 1
    until(lambda: connections() == 0)


def test_a_connection_in_use_is_never_ended(pool, connections):
    lent, other = pool.acquire(PROFILE, SOON), pool.acquire(PROFILE, SOON)
    pool.release(other)
    until(lambda: connections() == 1)
    until(lambda: not cleaners(pool.name))
    with lent.cursor() as cursor:
        cursor.execute("SELECT 1")
    pool.release(lent)
    until(lambda: connections() == 0)


def test_a_pool_that_is_used_again_after_a_silence_is_more_patient(pool, connections):
    pool.release(pool.acquire(PROFILE, SOON))
    until(lambda: connections() == 0)
    threading.Event().wait(1)
    again = pool.acquire(PROFILE, SOON)
    pool.release(again)
    threading.Event().wait(0.5)  # longer than before, and much shorter than what it has learned to expect
    assert pool.acquire(PROFILE, SOON) is again
    pool.release(again)


def test_a_pool_that_nobody_refers_to_ends_by_itself(impatient, cluster, database, connections):
    forgotten = PrimaryPool(database, lambda: cluster.primary.connect(database), max_size=2)
    forgotten.release(forgotten.acquire(PROFILE, SOON))
    del forgotten
    until(lambda: connections() == 0)
    until(lambda: not cleaners(database))


class TestMakingWay:
    @pytest.fixture
    def pool(self, cluster, database):
        """One that would keep its connections."""
        made = PrimaryPool("a name of its own", lambda: cluster.primary.connect(database), max_size=2)
        yield made
        made.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "DROP DATABASE {}",
            'drop  database if exists "{}"',
            "-- no longer needed\n /* at all */ DROP DATABASE {} WITH (FORCE)",
            "CREATE DATABASE copy TEMPLATE {}",
            "ALTER DATABASE {} RENAME TO other",
        ],
    )
    def test_ends_what_is_idle(self, pool, database, connections, statement):
        one, two = pool.acquire(PROFILE, SOON), pool.acquire(PROFILE, SOON)
        pool.release(one)
        until(lambda: pool._pool.idle)
        make_way_for(statement.format(database).encode())
        until(lambda: connections() == 1)
        pool.release(two)
        until(lambda: connections() == 0)

    @pytest.mark.parametrize("statement", ["DROP DATABASE other", "DROP TABLE {}", "SELECT 'DROP DATABASE {}'"])
    def test_is_only_for_statements_that_need_this_database(self, pool, database, statement):
        connection = pool.acquire(PROFILE, SOON)
        pool.release(connection)
        until(lambda: pool._pool.idle)
        make_way_for(statement.format(database).encode())
        assert pool.acquire(PROFILE, SOON) is connection
        pool.release(connection)

    def test_leaves_the_pool_usable(self, pool, database):
        pool.release(pool.acquire(PROFILE, SOON))
        make_way_for(f"DROP DATABASE {database}".encode())
        connection = pool.acquire(PROFILE, SOON)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        pool.release(connection)


@pytest.mark.slow
def test_anybody_can_drop_the_database_soon_after_the_pool_was_used(cluster):
    cluster.primary.query("CREATE DATABASE short_lived")
    pool = PrimaryPool("short_lived", lambda: cluster.primary.connect("short_lived"), max_size=2)
    pool.release(pool.acquire(PROFILE, SOON))
    until(lambda: pool._pool.idle)
    cluster.primary.query("DROP DATABASE short_lived")
    pool.close()
