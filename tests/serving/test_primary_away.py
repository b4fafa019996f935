"""What a node does while its primary is out of reach, or does not do what it is told."""

from __future__ import annotations

import threading

import peewee
import psycopg2
import pytest

import fly_orm
from fly_orm.deadline import Deadline, now
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from fly_orm.testing import Wan
from fly_orm.testing.contract.tools import in_thread
from tests.support.two_regions import close, named, settings
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

STUBBORN = """
    CREATE FUNCTION stubborn(seconds float) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE until timestamptz := clock_timestamp() + seconds * interval '1s';
    BEGIN
        WHILE clock_timestamp() < until LOOP
            BEGIN PERFORM pg_sleep(0.1); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP;
    END $$
"""


@pytest.fixture
def way(cluster):
    """A network in front of the primary."""
    server = cluster.primary
    with Wan(f"{server.host}/.s.PGSQL.{server.port}") as wan:
        yield wan


@pytest.fixture
def lax(cluster, database, way):
    """A database in lax, whose node in syd has one connection to the primary, through that network."""
    host, port = way.address.rsplit(":", 1)
    primary = peewee.PostgresqlDatabase(database, host=host, port=int(port), user=cluster.primary.params()["user"])
    fly_orm.wrap(primary, settings=settings("syd"))
    with fly_orm.serve(primary, listen="127.0.0.1:0", pool_size=1, settings=settings("syd")) as serving:
        db = peewee.PostgresqlDatabase(**named(cluster.replica, database))
        db.has_idle_node = lambda: bool(serving._executor.pools[database]._pool._idle)
        yield fly_orm.wrap(db, settings=settings("lax", serving.address), rpc_timeout=1.0)
        close(db)


@pytest.mark.parametrize("weather", ["stall", "deaf"])
def test_a_node_goes_on_when_its_primary_is_back(lax, way, weather):
    lax.execute_sql("CREATE TABLE t (i int)")
    until(lax.has_idle_node)  # which cleans its connection first
    getattr(way, weather)()
    started = now()
    with pytest.raises(fly_orm.OutcomeUnknown):
        lax.execute_sql("INSERT INTO t VALUES (1)")
    with pytest.raises(fly_orm.FlyOrmError):  # and nothing is stopped by the cancelling
        lax.execute_sql("INSERT INTO t VALUES (2)")
    assert now() - started < 15
    way.heal()
    last = Deadline.after(20)
    while not last.expired:
        try:
            lax.execute_sql("INSERT INTO t VALUES (3)")
            return
        except fly_orm.FlyOrmError:
            pass
    pytest.fail("the node does not find back to its primary")


def test_a_connection_that_cannot_be_cleaned_does_not_hold_up_the_others(cluster, database, way, monkeypatch):
    monkeypatch.setattr("fly_orm.postgres.cleaner.CLEAN_TIMEOUT", 0.2)
    host, port = way.address.rsplit(":", 1)
    given = {**cluster.primary.params(database), "host": host, "port": port}
    pool = PrimaryPool(database, lambda: psycopg2.connect(**given), max_size=1)
    connection = pool.acquire(Profile("UTF8", ()), Deadline.after(20))
    way.stall()
    pool.release(connection)
    cut = threading.Timer(0.5, way.heal)
    cut.start()
    assert pool.acquire(Profile("UTF8", ()), Deadline.after(20)) is not connection
    cut.join()
    pool.close()


def test_a_node_that_is_closed_leaves_no_transaction_open(regions):
    db = regions.lax(options={"rpc_timeout": None})
    db.execute_sql(STUBBORN)
    db.begin()
    running = in_thread(db.connection().cursor().execute, "SELECT stubborn(4)")
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: regions.query(f"{others} AND query LIKE 'SELECT stubborn%%'"))
    regions.serving.close(drain_timeout=0.1)
    assert isinstance(running.exception(PATIENCE), fly_orm.TransactionLost)
    until(lambda: not regions.query(f"{others} AND state <> 'idle' AND backend_type = 'client backend'"))
