"""Two replicas behind one address: what one of them shows says nothing about the other."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import peewee
import pytest

import fly_orm
from fly_orm import Route
from fly_orm.postgres.libpq import has_input
from fly_orm.testing import Cluster, RoundRobin
from tests.support.two_regions import TwoRegions, settings, two_regions
from tests.support.waiting import once_waited_for, until

INSERT = "INSERT INTO t (name) VALUES (%s)"


@pytest.fixture
def both() -> Iterator[tuple[TwoRegions, list[Any]]]:
    with Cluster.start() as cluster:
        second = cluster.add_replica()
        with two_regions(cluster, "postgres") as regions:
            regions.query("CREATE TABLE t (name text)")
            cluster.wait_for_replica()
            until(lambda: second.query("SELECT to_regclass('t') IS NOT NULL"))
            fly_orm.configure(settings("lax", regions.wan.address))
            yield regions, [cluster.replica, second]


@pytest.fixture
def regions(both: tuple[TwoRegions, list[Any]]) -> TwoRegions:
    return both[0]


@pytest.fixture
def replicas(both: tuple[TwoRegions, list[Any]]) -> list[Any]:
    return both[1]


@pytest.fixture
def address(replicas: list[Any]) -> Iterator[dict[str, Any]]:
    with RoundRobin(*replicas) as address:
        yield address.parameters


def names(db: Any) -> list[str]:
    return [name for (name,) in db.execute_sql("SELECT name FROM t ORDER BY name").fetchall()]


def pause(server: Any) -> None:
    server.query("SELECT pg_wal_replay_pause()")


def resume(server: Any) -> None:
    server.query("SELECT pg_wal_replay_resume()")


@pytest.mark.parametrize("late", [0, 1])
def test_a_session_finds_its_writes_whichever_of_them_is_late(
    regions: TwoRegions, replicas: list[Any], address: dict[str, Any], late: int
) -> None:
    db = regions.lax(options={"replication_timeout": 0.1}, **address)
    served = set()
    pause(replicas[late])
    try:
        with fly_orm.session():
            for number in range(4):
                with db.connection_context():
                    db.execute_sql(INSERT, (f"{number}",))
                for _ in range(2):
                    with db.connection_context():  # of its own each time, to the other server
                        assert names(db) == [f"{each}" for each in range(number + 1)]
                        served.add((db.connection().instance.port, fly_orm.why().route))
    finally:
        resume(replicas[late])
    assert {(str(replicas[late].port), Route.PRIMARY), (str(replicas[1 - late].port), Route.LOCAL)} <= served
    assert (str(replicas[late].port), Route.LOCAL) not in served


def test_a_read_that_waits_does_so_for_the_server_that_it_runs_on(
    regions: TwoRegions, replicas: list[Any], address: dict[str, Any]
) -> None:
    db = regions.lax(options={"wait": "read"}, **address)
    for server, late in ((replicas[1], True), (replicas[0], False)):
        pause(replicas[1])
        while db.connection().instance.port != str(server.port):
            db.close()
        with fly_orm.session():
            db.execute_sql(INSERT, ("x",))
            with once_waited_for(partial(resume, replicas[1]), 1.0):
                names(db)
            assert fly_orm.why().route is Route.LOCAL
            assert (fly_orm.why().wait >= 0.9) is late


def test_a_session_that_moves_all_the_time_asks_over_connections_that_are_kept(
    regions: TwoRegions, replicas: list[Any]
) -> None:
    with RoundRobin(*replicas) as address, fly_orm.session():
        db = regions.lax(**address.parameters)
        moves = 20
        for _ in range(moves):
            with db.connection_context():
                names(db)
        assert address.accepted <= moves + 4  # one that waits, one to each server, and one that reached the other first


def test_a_token_covers_what_was_read_on_the_server_that_was_ahead(
    regions: TwoRegions, replicas: list[Any], address: dict[str, Any]
) -> None:
    pause(replicas[1])
    try:
        regions.query("INSERT INTO t (name) VALUES ('of another')")
        regions.cluster.wait_for_replica()
        db = regions.lax(options={"replication_timeout": 0.1}, **address)
        with fly_orm.session():
            while names(db) != ["of another"]:
                db.close()
            told = fly_orm.token()
        elsewhere = regions.on(replicas[1], options={"replication_timeout": 0.1})
        with fly_orm.session():
            fly_orm.resume(told)
            assert names(elsewhere) == ["of another"]
            assert fly_orm.why().route is Route.PRIMARY
    finally:
        resume(replicas[1])


def test_a_replica_that_crashed_has_shown_nothing_yet(regions: TwoRegions, replicas: list[Any]) -> None:
    """It comes back with less than it had replayed; what the session has seen still counts."""
    db = regions.lax(options={"replication_timeout": 0.1})
    with fly_orm.session():
        with db.connection_context():
            db.execute_sql(INSERT, ("mine",))
            assert names(db) == ["mine"]
            assert fly_orm.why().route is Route.LOCAL
        regions.cluster.apply_delay(2)
        replicas[0].kill()
        replicas[0].start()
        with db.connection_context():
            assert names(db) == ["mine"]
    regions.cluster.apply_delay(0)


def test_nor_has_one_whose_backend_crashed(regions: TwoRegions, replicas: list[Any]) -> None:
    """Its postmaster goes on, and recovers it from its last restartpoint."""
    db = regions.lax(options={"replication_timeout": 0.1})
    replicas[0].query("CHECKPOINT")
    with fly_orm.session():
        with db.connection_context():
            db.execute_sql(INSERT, ("mine",))
            assert names(db) == ["mine"]
            instance = db.connection().instance
            regions.cluster.apply_delay(3)
        victim, witness = replicas[0].connect("postgres"), replicas[0].connect("postgres")
        os.kill(victim.get_backend_pid(), signal.SIGKILL)
        until(lambda: has_input(witness))  # the end of the connection: the postmaster has ended all of them
        until(lambda: answers(db))
        with db.connection_context():
            assert db.connection().instance != instance
            assert names(db) == ["mine"]
    regions.cluster.apply_delay(0)


def answers(db: Any) -> bool:
    try:
        with db.connection_context():
            return bool(db.execute_sql("SELECT true").fetchone()[0])
    except peewee.PeeweeException:
        return False


def test_an_address_that_leads_to_the_primary_too_loses_no_write(regions: TwoRegions, replicas: list[Any]) -> None:
    servers = {str(server.port): server for server in (regions.cluster.primary, replicas[0])}
    with RoundRobin(*servers.values()) as address:
        db = regions.lax(options={"replication_timeout": 0.1}, **address.parameters)
        pause(replicas[0])
        try:
            with fly_orm.session():
                for number in range(4):  # over the primary and over the replica in turn
                    with db.connection_context():
                        db.execute_sql(INSERT, (f"{number}",))
                    for _ in range(3):
                        with db.connection_context():
                            assert names(db) == [f"{each}" for each in range(number + 1)]
        finally:
            resume(replicas[0])


@pytest.mark.parametrize(
    "look", [fly_orm.replica, lambda: fly_orm.wait_for("none"), contextlib.nullcontext], ids=["replica", "none", "end"]
)
def test_a_look_that_may_be_old_does_not_count_as_having_moved(
    regions: TwoRegions, replicas: list[Any], address: dict[str, Any], look: Any
) -> None:
    db = regions.lax(options={"replication_timeout": 0.1}, **address)
    pause(replicas[1])
    try:
        regions.query("INSERT INTO t (name) VALUES ('of another')")
        regions.cluster.wait_for_replica()
        with fly_orm.session():
            while names(db) != ["of another"]:
                db.close()
            while db.connection().instance.port != str(replicas[1].port):
                db.close()
            with look():
                db.execute_sql("COMMIT" if look is contextlib.nullcontext else "SELECT name FROM t")
            assert names(db) == ["of another"]
    finally:
        resume(replicas[1])
