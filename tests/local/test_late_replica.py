"""A replica that stays late costs one wait, and not one for each write."""

from __future__ import annotations

import logging
import re
import threading
from typing import Any

import pytest
from msgspec.structs import replace

import fly_orm
from fly_orm import Route
from fly_orm.deadline import now
from fly_orm.lsn import LSN
from fly_orm.sessions.context import current
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

INSERT = "INSERT INTO t (name) VALUES ('x')"
TIMEOUT = 1.0


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    return regions.lax(options={"replication_timeout": TIMEOUT})


def write(db: Any) -> float:
    """Write, and return how long the wait for the replica was."""
    db.execute_sql(INSERT)
    return fly_orm.why().wait


def count(db: Any) -> int:
    return db.execute_sql("SELECT count(*) FROM t").fetchone()[0]


def test_many_writes_wait_once(regions: TwoRegions, db: Any, caplog: pytest.LogCaptureFixture) -> None:
    with regions.cluster.replay_paused():
        waits = [write(db) for _ in range(6)]
        assert waits[0] >= TIMEOUT
        assert max(waits[1:]) < TIMEOUT
        assert count(db) == 6
        assert fly_orm.why().route is Route.PRIMARY
    assert [record.levelno for record in caplog.records if "has replayed only" in record.message] == [logging.WARNING]


def test_sessions_that_begin_later_do_not_wait_either(regions: TwoRegions, db: Any) -> None:
    with regions.cluster.replay_paused():
        write(db)
        for _ in range(3):
            with fly_orm.session():
                assert write(db) < TIMEOUT
                assert count(db) > 1
                assert fly_orm.why().route is Route.PRIMARY


def test_threads_wait_together_once(regions: TwoRegions, db: Any) -> None:
    waited = []

    def work() -> None:
        with db.connection_context(), fly_orm.session():
            waited.append(sum(write(db) for _ in range(5)))

    with regions.cluster.replay_paused():
        threads = [threading.Thread(target=work) for _ in range(6)]
        started = now()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(waited) < 4 * TIMEOUT
        assert now() - started < 20 * TIMEOUT  # 30 waits would take longer


@pytest.mark.slow
def test_threads_read_their_writes_through_a_pause_and_then_find_them_here_again(regions: TwoRegions, db: Any) -> None:
    missed: list[int] = []
    waits: list[float] = []
    over = threading.Event()

    def work() -> None:
        with db.connection_context():
            while not over.is_set():
                with fly_orm.session():
                    (key,) = db.execute_sql(INSERT + " RETURNING id").fetchone()
                    waits.append(fly_orm.why().wait)
                    missed.extend([key] * (db.execute_sql("SELECT FROM t WHERE id = %s", (key,)).fetchone() is None))

    threads = [threading.Thread(target=work) for _ in range(8)]
    with regions.cluster.replay_paused():
        for thread in threads:
            thread.start()
        until(lambda: len(waits) > 100)
        over.set()
        for thread in threads:
            thread.join()
    assert missed == []
    assert sum(wait >= TIMEOUT for wait in waits) <= len(threads)  # each of them may be in the first wait
    regions.cluster.wait_for_replica()
    started = now()
    until(lambda: (write(db), count(db), fly_orm.why().route)[2] is Route.LOCAL)
    assert now() - started < 8


def test_reads_that_the_replica_can_serve_stay_there(regions: TwoRegions, db: Any) -> None:
    with regions.cluster.replay_paused():
        write(db)
        with fly_orm.session():
            assert count(db) == 0
            assert fly_orm.why().route is Route.LOCAL


def test_waiting_resumes_once_it_has_caught_up(regions: TwoRegions, db: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fly_orm")
    with regions.cluster.replay_paused():
        write(db)
    regions.cluster.wait_for_replica()
    started = now()
    until(lambda: "has caught up after" in (write(db), caplog.text)[1])
    assert now() - started < 8
    with regions.cluster.replay_paused():
        assert write(db) >= TIMEOUT  # it is waited for again


def test_the_log_states_the_lag(regions: TwoRegions, db: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fly_orm")
    lag = r"; it lacks (\d+) bytes of WAL, and the last transaction that it has replayed was committed (\d+\.\d) s ago"
    server = rf"this region's replica \(localhost:{regions.cluster.replica.port}\)"
    regions.query(INSERT)
    regions.cluster.wait_for_replica()
    with regions.cluster.replay_paused():
        regions.query("INSERT INTO t (name) SELECT repeat('x', 100) FROM generate_series(1, 100)")
        write(db)
        late = re.search(f"{server} is late: .* has replayed only up to .*{lag}; until it has caught up,", caplog.text)
        assert late is not None, caplog.text
        assert int(late[1]) > 10_000
        assert TIMEOUT <= float(late[2]) + 0.05 < 60
    regions.cluster.wait_for_replica()
    until(lambda: "has caught up after" in (write(db), caplog.text)[1])
    ended = re.search(rf"{server} has caught up after \d+\.\d s{lag}", caplog.text)
    assert ended is not None, caplog.text
    assert int(ended[1]) < 1000
    assert float(ended[2]) < 60


def test_a_restart_ends_it(regions: TwoRegions, db: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fly_orm")
    with regions.cluster.replay_paused():
        write(db)
    regions.cluster.replica.restart()
    db.close()
    write(db)
    assert re.search(r"which was late for \d+\.\d s, was restarted", caplog.text)


def test_one_that_cannot_be_asked_is_late_on_one_line(
    regions: TwoRegions, db: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(db)
    regions.cluster.replica.stop()
    write(db)
    (message,) = [record.message for record in caplog.records if "is late" in record.message]
    assert "cannot be asked what it has replayed" in message
    assert "\n" not in message
    assert "it lacks" not in message.partition("until")[0]


@pytest.mark.slow
def test_one_that_lags_by_more_than_a_moment_is_still_late(regions: TwoRegions, db: Any) -> None:
    """Or each write would wait again as soon as the replica had replayed the one before."""
    regions.cluster.apply_delay(4)
    try:
        write(db)
        started, waited = now(), 0.0
        while now() - started < 5:
            waited += write(db)
        assert waited < 3 * TIMEOUT
    finally:
        regions.cluster.apply_delay(0)


@pytest.mark.slow
def test_what_one_that_lags_shows_is_read_there(regions: TwoRegions, db: Any) -> None:
    """Also right after somebody else has looked at it."""
    regions.cluster.apply_delay(3)
    try:
        write(db)
        old = current().pins[regions.name].position
        until(
            lambda: (
                (write(db), regions.cluster.replica.query("SELECT pg_last_wal_replay_lsn()::text"))[1] >= str(old.lsn)
            )
        )
        write(db)
        for _ in range(5):
            with fly_orm.session():
                current().resume(regions.name, old)
                count(db)
                assert fly_orm.why().route is Route.LOCAL
            with fly_orm.session():
                write(db)
                count(db)
                assert fly_orm.why().route is Route.PRIMARY
    finally:
        regions.cluster.apply_delay(0)


def test_asking_for_an_error_gets_it_at_once(regions: TwoRegions) -> None:
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    db = regions.lax(options={"replication_timeout": TIMEOUT, "on_lag": "raise"})
    with regions.cluster.replay_paused():
        for longest in (TIMEOUT + 10, TIMEOUT):
            started = now()
            with pytest.raises(fly_orm.ReplicationTimeout, match="committed, so do not repeat it"):
                db.execute_sql(INSERT)
            assert now() - started < longest


def test_a_position_that_a_failover_lost_makes_no_replica_late(regions: TwoRegions, db: Any) -> None:
    """Nobody will ever see it, so waiting must not depend on it."""
    write(db)
    pin = current().pins[regions.name]
    for lost in (
        replace(pin.position, lsn=LSN(pin.position.lsn + 2**40), timeline=pin.position.timeline - 1),
        replace(pin.position, system=pin.position.system + 1),
    ):
        with fly_orm.session():
            current().resume(regions.name, lost)
            count(db)
            assert fly_orm.why().route is Route.PRIMARY
    with regions.cluster.replay_paused():
        assert write(db) >= TIMEOUT  # the replica is waited for all the same
