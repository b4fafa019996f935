"""A replica that goes on following the old primary after a failover, in the region of another one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import peewee
import psycopg2
import pytest

import fly_orm
from fly_orm import Route
from fly_orm.testing import Cluster, Server
from fly_orm.topology import Node
from tests.support.servers import follow_at_once
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT = 1.0
INSERT = "INSERT INTO item (name) VALUES ('x')"


@pytest.fixture
def world() -> Iterator[tuple[Cluster, Server, Any]]:
    """A cluster, a second replica, and a database in the region of that."""
    with Cluster.start() as cluster, ExitStack() as undo:
        cluster.create_database("shop")
        with cluster.primary.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE item (id serial PRIMARY KEY, name text)")
        third = cluster.add_replica()
        cluster.wait_for_replica()
        addresses: dict[str, Any] = {}
        for region, server in (("syd", cluster.primary), ("lax", cluster.replica)):
            db = wrap(server, region, undo, **addresses)
            serving = fly_orm.serve(db, listen="127.0.0.1:0", settings=settings(region))
            undo.callback(serving.close, 0)
            addresses[region] = (Node(region=region, address=serving.address),)
        db = wrap(third, "ams", undo, replication_timeout=TIMEOUT, **addresses)
        until(lambda: has_table(third))
        db.execute_sql(INSERT)
        yield cluster, third, db


def wrap(server: Server, region: str, undo: ExitStack, *, replication_timeout: float = 5.0, **nodes: Any) -> Any:
    given = settings(region, nodes=nodes, replication_timeout=replication_timeout)
    db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(server, "shop")), settings=given)
    undo.callback(close, db)
    return db


def has_table(server: Server) -> bool:
    with suppress(psycopg2.Error), server.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM item")
        return True
    return False


def write(db: Any) -> tuple[float, Route]:
    """Write and read in a session of its own; returns how long the write waited, and where the read ran."""
    with fly_orm.session():
        (key,) = db.execute_sql(f"{INSERT} RETURNING id").fetchone()
        wait = fly_orm.why().wait
        assert db.execute_sql("SELECT id FROM item WHERE id = %s", (key,)).fetchone() == (key,)
        return wait, fly_orm.why().route


def test_it_costs_one_wait_and_is_waited_for_again_once_it_follows(
    world: tuple[Cluster, Server, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cluster, third, db = world
    caplog.set_level(logging.INFO, "fly_orm")
    cluster.primary.stop()
    cluster.replica.query("SELECT pg_promote(true, 60)")
    first, *others = (write(db) for _ in range(6))
    assert first[0] >= 0.9 * TIMEOUT
    assert max(wait for wait, _ in others) < TIMEOUT / 2
    assert {route for _, route in [first, *others]} == {Route.PRIMARY}
    (told,) = [record.message for record in caplog.records if "nobody waits for it" in record.message]
    assert "not known to have left timeline 1, while the primary is on timeline 2: let it follow" in told

    follow_at_once(third, cluster.replica)
    until(lambda: write(db)[1] is Route.LOCAL, "reads do not return to the replica")
    assert any("has caught up" in record.message for record in caplog.records)
