"""What an application does to its database object after wrap() leaves it wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import DatabaseProxy, PostgresqlDatabase, SqliteDatabase
from playhouse.pool import PooledPostgresqlDatabase

import fly_orm
from tests.support.one_item import Item, works
from tests.support.two_regions import TwoRegions, settings
from tests.support.waiting import until

CLASSES = [PostgresqlDatabase, PooledPostgresqlDatabase]


@pytest.mark.parametrize("kind", [peewee.Proxy, DatabaseProxy])
@pytest.mark.parametrize("early", [True, False], ids=["before initialize", "after initialize"])
def test_a_proxy_that_is_initialised_again(
    regions: TwoRegions, wrap: Any, on_replica: Any, kind: Any, early: bool
) -> None:
    proxy = kind()
    if not early:
        proxy.initialize(PostgresqlDatabase(regions.name, **on_replica))
    wrap(proxy)
    for _ in range(2):
        proxy.initialize(PostgresqlDatabase(regions.name, **on_replica))
        works(proxy)
        proxy.obj.close()
    assert wrap(proxy) is proxy
    assert len(proxy._callbacks) == 1
    first = proxy.obj
    proxy.initialize(None)
    with pytest.raises(AttributeError, match="uninitialized Proxy"):
        proxy.connect()
    proxy.initialize(first)
    works(proxy)


@pytest.mark.parametrize("early", [True, False], ids=["before initialize", "after initialize"])
def test_a_proxy_is_not_left_with_a_database_that_cannot_be_routed(
    regions: TwoRegions, wrap: Any, on_replica: Any, early: bool
) -> None:
    proxy = wrap(DatabaseProxy())
    if not early:
        proxy.initialize(PostgresqlDatabase(regions.name, **on_replica))
    with pytest.raises(fly_orm.NotSupported, match="SqliteDatabase is not a PostgresqlDatabase"):
        proxy.initialize(SqliteDatabase(":memory:"))
    with pytest.raises(AttributeError, match="uninitialized Proxy"):
        proxy.connect()
    proxy.initialize(PostgresqlDatabase(regions.name, **on_replica))
    works(proxy)


def test_a_proxy_in_the_primary_region_takes_any_database() -> None:
    proxy = fly_orm.wrap(DatabaseProxy(), settings=settings("syd"))
    proxy.initialize(SqliteDatabase(":memory:"))
    assert proxy.execute_sql("SELECT 1").fetchone() == (1,)
    proxy.close()  # from Python 3.13 on, sqlite3 warns of connections that nobody closes


def reset(database: Any) -> None:
    """Close the connections, as one does in a forked process; peewee 4.3 has no other way than to close them."""
    getattr(database, "dispose", database.close)()


def leave_a_context(database: Any) -> None:
    with database.connection_context():
        assert not database.is_closed()
    assert database.is_closed()


def bind_elsewhere_for_a_while(database: Any) -> None:
    other = SqliteDatabase(":memory:")
    with Item.bind_ctx(other), other.connection_context():
        other.create_tables([Item])
        assert Item.select().count() == 0
    Item.bind(database)


CHANGES: list[Callable[[Any], Any]] = [
    lambda database: database.close(),
    lambda database: database.init(database.database, **database.connect_params),
    reset,
    leave_a_context,
    bind_elsewhere_for_a_while,
    lambda database: hasattr(database, "close_all") and database.close_all(),
    lambda database: hasattr(database, "close_idle") and [database.close(), database.close_idle()],
    lambda database: hasattr(database, "manual_close") and database.manual_close(),
]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("thread_safe", [True, False])
def test_a_database_that_is_closed_bound_and_opened_in_every_way(
    regions: TwoRegions, wrap: Any, on_replica: Any, kind: Any, thread_safe: bool
) -> None:
    database = wrap(kind(regions.name, thread_safe=thread_safe, **on_replica))
    works(database)
    for change in CHANGES:
        change(database)
        works(database)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_database_that_is_led_to_another_server_leaves_the_first_one(
    regions: TwoRegions, wrap: Any, on_replica: Any, kind: Any
) -> None:
    database, replica, primary = kind(regions.name, **on_replica), regions.cluster.replica, regions.cluster.primary
    works(wrap(database))
    database.close()
    if hasattr(database, "close_all"):
        database.close_all()
    to_primary = {key: value for key, value in primary.params(regions.name).items() if key != "dbname"}
    database.init(regions.name, **to_primary)
    connections = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{regions.name}'"
    until(lambda: replica.query(connections) == 0)
    with Item.bind_ctx(database):
        Item.create(name="directly")
        assert Item.get(Item.name == "directly").n == 0
    database.close()
    if hasattr(database, "close_all"):
        database.close_all()
    database.init(regions.name, **on_replica)
    works(database)
