"""Nothing that happens after a commit raises out of the write, whatever goes wrong then."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.forwarding.directory import Directory
from fly_orm.forwarding.fence import Fence
from fly_orm.forwarding.primary_region import PrimaryRegion
from fly_orm.forwarding.remote_lease import RemoteLease
from fly_orm.local.replica import LocalReplica
from fly_orm.postgres.primary_connection import PrimaryConnection
from fly_orm.postgres.write_ahead_log import WriteAheadLog
from fly_orm.routing.freshness import Freshness
from fly_orm.routing.heartbeats import Heartbeats
from fly_orm.routing.session_settings import SessionSettings
from fly_orm.sessions.pins import Pins
from tests.support.one_table import INSERT, count, one_table
from tests.support.threads import refuse_threads
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until


class PlantedError(Exception):
    """What goes wrong."""


def fails(*args: Any, **options: Any) -> Any:
    raise PlantedError


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    return one_table(regions)


#: What runs in lax once the reply has arrived.
STEPS = {
    "the node is marked as reached": (Directory, "mark_reached"),
    "the region of the primary is noted": (PrimaryRegion, "accepted"),
    "the timeline is noted": (Fence, "met"),
    "the session is pinned": (Pins, "add"),
    "the wait for the replica": (Freshness, "wait"),
    "the wait in the replica's own code": (LocalReplica, "wait"),
}


def autocommitted(db: Any) -> None:
    db.execute_sql(INSERT, ("second",))


def in_a_transaction(db: Any) -> None:
    with db.atomic():
        db.execute_sql(INSERT, ("second",))


def by_the_driver(db: Any) -> None:
    connection = db.connection()
    connection.autocommit = False
    connection.cursor().executemany(INSERT, [("second",)])
    connection.commit()


@pytest.mark.parametrize("write", [autocommitted, in_a_transaction, by_the_driver])
@pytest.mark.parametrize("step", STEPS)
def test_a_write_succeeds_when_a_step_after_its_commit_fails(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch, step: str, write: Any
) -> None:
    monkeypatch.setattr(*STEPS[step], fails)
    write(db)
    assert regions.query("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("what", ["filter", "handler"])
def test_a_write_succeeds_when_the_applications_logging_fails(
    regions: TwoRegions, what: str, request: pytest.FixtureRequest
) -> None:
    one_table(regions)
    db = regions.lax(options={"replication_timeout": 0.05})
    log = logging.getLogger("fly_orm")
    failing: Any = logging.Filter() if what == "filter" else logging.Handler()
    setattr(failing, "filter" if what == "filter" else "handle", fails)
    add, remove = (log.addFilter, log.removeFilter) if what == "filter" else (log.addHandler, log.removeHandler)
    add(failing)
    request.addfinalizer(lambda: remove(failing))
    with regions.cluster.replay_paused():
        for _ in range(2):
            db.execute_sql(INSERT, (f"late {_}",))
        assert count(db) == 3  # read on the primary


def test_a_setting_that_the_replica_cannot_take_over_does_not_fail_the_commit(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionSettings, "take", fails)
    with db.atomic():
        db.execute_sql(INSERT, ("second",))
        db.execute_sql("SET application_name = 'x'")
    assert regions.query("SELECT count(*) FROM t") == 2
    with db.atomic("READ COMMITTED READ ONLY"):
        db.execute_sql("SET work_mem = '1MB'")


@contextmanager
def primary_lost_after_the_commit(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A block in which the node's connection is lost between a commit and the question for its position."""
    ask, ask_and_clean = WriteAheadLog.commit_position, PrimaryConnection.clean_at_once

    def lose(raw: Any) -> None:
        regions.query(f"SELECT pg_terminate_backend({raw.info.backend_pid}, 5000)")

    with monkeypatch.context() as patch:
        patch.setattr(
            WriteAheadLog, "commit_position", lambda log, **options: lose(log._connection) or ask(log, **options)
        )
        patch.setattr(
            PrimaryConnection, "clean_at_once", lambda each, **options: lose(each.raw) or ask_and_clean(each, **options)
        )
        yield


@pytest.mark.parametrize("write", [autocommitted, in_a_transaction, by_the_driver])
def test_a_write_succeeds_when_the_node_loses_its_connection_after_the_commit(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    with primary_lost_after_the_commit(regions, monkeypatch):
        write(db)
        assert count(db) == 2  # read where it can be seen
        assert fly_orm.why().route is fly_orm.Route.PRIMARY  # type: ignore[union-attr]
    db.connection().rollback()
    db.execute_sql(INSERT, ("third",))
    db.connection().commit()
    assert count(db) == 3


def test_but_state_that_was_lost_with_that_connection_closes_the_callers_as_psycopg2_does(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute_sql("CREATE TEMP TABLE mine (n int)")
    with primary_lost_after_the_commit(regions, monkeypatch):
        db.execute_sql(INSERT, ("second",))
    assert db.connection().closed
    with pytest.raises(psycopg2.InterfaceError, match="already closed"):
        db.connection().cursor()
    assert regions.query("SELECT count(*) FROM t") == 2


def test_a_lease_is_renewed_once_there_is_a_thread_for_it_again(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, renewed, renew = db.connection().remote, threading.Event(), RemoteLease.renew

    def noting(lease: RemoteLease, deadline: Deadline) -> None:
        renew(lease, deadline)
        if lease is remote._lease:  # and not one that an earlier test has left
            renewed.set()

    monkeypatch.setattr("fly_orm.routing.remote_connection.heartbeats", Heartbeats())
    monkeypatch.setattr("fly_orm.forwarding.remote_lease._RENEWAL_INTERVAL", 0.05)
    monkeypatch.setattr(RemoteLease, "renew", noting)
    with monkeypatch.context() as patch:
        refused = refuse_threads(patch, "fly_orm heartbeat")
        db.execute_sql("CREATE TEMP TABLE mine (n int)")
        db.execute_sql(INSERT, ("second",))
    assert refused
    assert not renewed.is_set()
    db.execute_sql(INSERT, ("third",))
    until(renewed.is_set)


def test_what_a_result_holds_is_cast_when_it_is_fetched(regions: TwoRegions, db: Any) -> None:
    cursor = db.connection().cursor()
    psycopg2.extensions.register_type(psycopg2.extensions.new_type((23,), "FAILING", fails), cursor)
    cursor.execute(f"{INSERT} RETURNING id", ("second",))
    with pytest.raises(PlantedError):
        cursor.fetchone()
    assert count(db) == 2
