"""With one host, writes go on while the replica is down, over connections that were open before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase
from pony import orm

import fly_orm
from fly_orm import Route
from fly_orm.driver.connector import retry_interval
from tests.support.pony_regions import pony_in_lax, shop
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_hurry", "_table")

INSERT = "INSERT INTO t (name) VALUES ('x')"
CLASSES = [peewee.PostgresqlDatabase, PooledPostgresqlDatabase]


@pytest.fixture(autouse=True)
def _up_again(regions: TwoRegions) -> Iterator[None]:
    yield
    regions.cluster.replica.start()


def count(db: Any) -> int:
    return int(db.execute_sql("SELECT count(*) FROM t").fetchone()[0])


def writes(db: Any, number: int) -> int:
    """Write in each way, twice, and see that; returns how many rows there are then."""
    for _ in range(2):
        db.execute_sql(INSERT)
        with db.atomic():
            assert count(db) == number + 1
            db.execute_sql(INSERT)
        number += 2
        assert count(db) == number
        served = fly_orm.why()
        assert served is not None
        assert served.route is Route.PRIMARY
    return number


@pytest.mark.parametrize("cls", CLASSES)
def test_a_connection_that_is_open_serves_writes_and_what_follows_them(regions: TwoRegions, cls: type) -> None:
    db = regions.lax(cls)
    db.connect()
    regions.cluster.replica.stop()
    writes(db, 0)  # without anything of this process that was written before
    with fly_orm.session(), pytest.raises(peewee.OperationalError):
        count(db)  # nothing says that this has to be read on the primary


def test_a_pool_lends_connections_that_it_cannot_replace(regions: TwoRegions) -> None:
    db, ready = regions.lax(PooledPostgresqlDatabase), threading.Barrier(2)

    def hold() -> None:
        with db.connection_context():
            ready.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    hold()
    other.join()
    regions.cluster.replica.stop()
    number = 0
    for _ in range(2):
        with fly_orm.session(), db.connection_context():
            number = writes(db, number)
    regions.cluster.replica.start()
    until(lambda: is_read_here(db), "lost connections are not replaced")


def test_a_server_that_refuses_at_once_is_tried_again_soon() -> None:
    assert [retry_interval(took) for took in (0.001, 0.05, 3.0)] == [0.25, 0.5, 5.0]


def is_read_here(db: Any) -> bool:
    with fly_orm.session(), db.connection_context():
        try:
            count(db)
        except peewee.OperationalError:
            return False
        served = fly_orm.why()
        return served is not None and served.route is Route.LOCAL


def test_pony_keeps_a_connection_that_it_cannot_replace(regions: TwoRegions) -> None:
    with pony_in_lax(regions) as database:
        made = shop(database)
        with orm.db_session:
            made.Thing(name="first", n=1)
        regions.cluster.replica.stop()
        for name in ("second", "third"):
            with fly_orm.session(), orm.db_session:
                made.Thing(name=name, n=1)
                orm.flush()
                database.execute("SELECT pg_advisory_lock(7)")
            until(lambda: not regions.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
        assert regions.query("SELECT string_agg(name, ' ' ORDER BY id) FROM thing") == "first second third"
        regions.cluster.replica.start()
        until(lambda: pony_reads_here(made), "the lost connection is not replaced")


def pony_reads_here(made: Any) -> bool:
    with fly_orm.session():
        try:
            with orm.db_session:
                orm.count(t for t in made.Thing)
        except (orm.OperationalError, orm.DatabaseError):
            return False
        served = fly_orm.why()
        return served is not None and served.route is Route.LOCAL
