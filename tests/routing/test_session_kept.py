"""How long a node keeps the Postgres session whose locks and temporary tables a silent caller needs."""

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

import fly_orm
from fly_orm.errors import OutcomeUnknown, TransactionLost
from fly_orm.serving import time_limits
from fly_orm.testing import Cluster
from tests.support.processes import script, stopped
from tests.support.two_regions import SECRET, TwoRegions, named, two_regions
from tests.support.waiting import until

IDLE_TIMEOUT = 1.5
LOCK = "SELECT pg_try_advisory_lock(7)"
IS_FREE = "SELECT pg_try_advisory_lock(7) AND pg_advisory_unlock(7)"


@pytest.fixture
def regions(cluster: Cluster, database: str) -> Iterator[TwoRegions]:
    with two_regions(cluster, database, idle_timeout=IDLE_TIMEOUT) as both:
        both.query("CREATE TABLE t (id serial PRIMARY KEY)")
        cluster.wait_for_replica()
        yield both


def leases(regions: TwoRegions) -> int:
    return len(regions.serving._executor._leases)


@pytest.mark.slow
def test_a_silent_caller_keeps_its_session(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql(LOCK)
    db.execute_sql("CREATE TEMP TABLE scratch AS SELECT 1 AS one")
    time.sleep(2.5 * IDLE_TIMEOUT)
    assert regions.query(IS_FREE) is False
    assert db.execute_sql("SELECT one FROM scratch").fetchone() == (1,)
    db.close()
    until(lambda: bool(regions.query(IS_FREE)))


def test_a_connection_that_nobody_holds_does_not(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql(LOCK)
    db._state.reset()
    until(lambda: bool(regions.query(IS_FREE)))


def test_an_open_transaction_is_rolled_back_all_the_same(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql(LOCK)
    db.begin()
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    until(lambda: bool(regions.query(IS_FREE)))
    with pytest.raises(TransactionLost, match="idle for too long"):
        db.execute_sql("SELECT 1")


def test_a_frozen_caller_loses_it_and_is_told(regions: TwoRegions) -> None:
    program = """
import json, os, sys, fly_orm, peewee
db = fly_orm.wrap(peewee.PostgresqlDatabase(**json.loads(sys.argv[1])))
db.execute_sql("SELECT pg_try_advisory_lock(7)")
for line in sys.stdin:
    print("locked", flush=True)
    try:
        print(db.execute_sql("SELECT 1").fetchone(), flush=True)
    except fly_orm.TransactionLost as error:
        print(error, flush=True)
"""
    parameters = json.dumps(named(regions.cluster.replica, regions.name))
    here = {"FLY_REGION": "lax", "PRIMARY_REGION": "syd", "FLY_ORM_SECRET": SECRET}
    with script(program, parameters, FLY_ORM_NODES=f"syd={regions.wan.address}", **here) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print("go", file=process.stdin, flush=True)
        assert [process.stdout.readline().strip() for _ in range(2)] == ["locked", "(1,)"]
        with stopped(process.pid):
            until(lambda: bool(regions.query(IS_FREE)))
        print("go", file=process.stdin, flush=True)
        assert process.stdout.readline().strip() == "locked"
        assert "lost, and with it its locks" in process.stdout.readline()


class TestAnOpenTransaction:
    """Its caller says every now and then that it is still there."""

    SILENCE = 1.5

    @pytest.fixture
    def patient(self, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoRegions]:
        monkeypatch.setattr(time_limits, "SILENCE_TIMEOUT", self.SILENCE)
        with two_regions(cluster, database, idle_timeout=None) as both:
            both.query("CREATE TABLE t (id serial PRIMARY KEY)")
            cluster.wait_for_replica()
            yield both

    def begin(self, regions: TwoRegions) -> Any:
        db = regions.lax()
        db.begin()
        db.execute_sql("INSERT INTO t DEFAULT VALUES")
        return db

    @pytest.mark.slow
    def test_stays_open_while_its_caller_lives(self, patient: TwoRegions) -> None:
        db = self.begin(patient)
        time.sleep(2.5 * self.SILENCE)
        db.execute_sql("INSERT INTO t DEFAULT VALUES")
        db.commit()
        assert patient.query("SELECT count(*) FROM t") == 2

    def test_is_rolled_back_if_the_network_has_lost_its_caller(self, patient: TwoRegions) -> None:
        db = self.begin(patient)
        assert leases(patient) == 1
        patient.wan.deaf()
        until(lambda: leases(patient) == 0)
        patient.wan.heal()
        with pytest.raises(TransactionLost):
            db.execute_sql("SELECT 1")

    @pytest.mark.slow
    def test_of_an_earlier_release_may_be_silent(self, patient: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fly_orm.serving.executor.renewal_interval", lambda: None)
        db = self.begin(patient)
        time.sleep(2.5 * self.SILENCE)
        db.commit()
        assert patient.query("SELECT count(*) FROM t") == 1

    def test_tells_its_connection_that_it_was_lost(self, patient: TwoRegions) -> None:
        db = self.begin(patient)
        patient.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        with pytest.raises(TransactionLost):
            db.execute_sql("SELECT 1")
        db.rollback()
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


class TestASessionThatIsLost:
    def lose(self, regions: TwoRegions) -> Any:
        db = regions.lax()
        db.execute_sql(LOCK)
        regions.query(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        return db

    def test_is_an_error_at_the_next_statement(self, regions: TwoRegions) -> None:
        db = self.lose(regions)
        until(lambda: leases(regions) == 0)
        with pytest.raises(TransactionLost, match="its locks, temporary tables"):
            db.execute_sql("SELECT 1")
        assert db.connection().closed
        db.close()
        assert db.execute_sql("SELECT 1").fetchone() == (1,)

    def test_is_one_before_anything_was_renewed_as_well(self, regions: TwoRegions) -> None:
        db = self.lose(regions)
        with pytest.raises((TransactionLost, psycopg2.OperationalError)):
            db.execute_sql("INSERT INTO t DEFAULT VALUES")
        assert db.connection().closed

    def test_can_be_begun_anew(self, regions: TwoRegions) -> None:
        db = self.lose(regions)
        until(lambda: leases(regions) == 0)
        db.execute_sql("DISCARD ALL")
        assert db.execute_sql(LOCK).fetchone() == (True,)


@pytest.mark.usefixtures("no_spare_channels")
def test_a_write_in_such_a_session_whose_reply_is_lost_may_be_committed(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql(LOCK)
    regions.wan.cut_before_reply()
    with pytest.raises(OutcomeUnknown):
        db.execute_sql("INSERT INTO t DEFAULT VALUES")
    regions.wan.heal()
    assert regions.query("SELECT count(*) FROM t") == 1


@pytest.mark.slow
def test_nothing_is_sent_for_a_connection_without_state(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    until(lambda: leases(regions) == 0)
    before = regions.wan.round_trips
    time.sleep(2 * IDLE_TIMEOUT)
    assert regions.wan.round_trips - before <= 2  # channels that are opened ahead of need
    assert fly_orm.why() is not None
