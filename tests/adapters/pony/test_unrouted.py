"""Where nothing can or need be routed, a Pony database is as it was, or the reason is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pony import orm
from pony.orm.dbproviders.cockroach import CRProvider
from pony.orm.dbproviders.postgres import PGPool, PGProvider
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.two_regions import SECRET, TwoRegions, named, settings

pytestmark = [pytest.mark.over_every_transport, pytest.mark.usefixtures("no_spare_channels")]


NO_REGIONS = Settings(topology=Topology(region="local", primary_region=None), secret=SECRET)


@pytest.mark.parametrize("bound_first", [True, False])
@pytest.mark.parametrize("given", [settings("syd"), NO_REGIONS], ids=["primary region", "no regions"])
def test_where_nothing_need_be_routed_a_database_is_as_unwrapped(
    regions: TwoRegions, made: list[Any], given: Settings, bound_first: bool
) -> None:
    database = orm.Database()
    made.append(database)
    there = named(regions.cluster.primary, regions.name)
    if bound_first:
        database.bind("postgres", **there)
    assert fly_orm.wrap(database, settings=given) is database
    if not bound_first:
        database.bind("postgres", **there)
    Item = database.Entity.__class__(  # noqa: N806  # an entity
        "Item", (database.Entity,), {"name": orm.Required(str, unique=True)}
    )
    database.generate_mapping(create_tables=True)
    before = regions.wan.round_trips
    with orm.db_session:
        Item(name="x")
        connection = database.get_connection()
        assert type(connection).__mro__[-2].__module__ == "psycopg2.extensions"
        cursor = connection.cursor()
        assert type(cursor).__name__ == "cursor"
        assert (type(cursor) is ext.cursor) is (given.topology.primary_region is None)
        assert type(connection).__name__ == "connection"
    with pytest.raises(orm.TransactionIntegrityError), orm.db_session:
        Item(name="x")
    with orm.db_session(serializable=True):
        assert Item.get().name == "x"
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM item") == 1


def test_without_regions_a_database_has_nothing_of_ours(regions: TwoRegions, made: list[Any]) -> None:
    database = orm.Database("postgres", **named(regions.cluster.primary, regions.name))
    made.append(database)
    fly_orm.wrap(database, settings=NO_REGIONS)
    assert type(database.provider) is PGProvider
    assert type(database.provider.pool) is PGPool
    with orm.db_session:
        assert type(database.get_connection()) is ext.connection


def test_a_replica_that_is_none_takes_writes_directly(regions: TwoRegions, wrap: Any) -> None:
    database = wrap(orm.Database("postgres", **named(regions.cluster.primary, regions.name)))
    item = database.Entity.__class__("Item", (database.Entity,), {"name": orm.Required(str)})
    database.generate_mapping(create_tables=True)
    before = regions.wan.round_trips
    with orm.db_session:
        item(name="x")
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM item") == 1


@pytest.mark.parametrize("given", [settings("syd"), NO_REGIONS], ids=["primary region", "no regions"])
@pytest.mark.parametrize("bound_first", [True, False])
def test_sqlite_is_left_alone_where_nothing_need_be_routed(
    tmp_path: Path, made: list[Any], given: Settings, bound_first: bool
) -> None:
    database = orm.Database()
    made.append(database)
    if bound_first:
        database.bind("sqlite", str(tmp_path / "x.db"), create_db=True)
    assert fly_orm.wrap(database, settings=given) is database
    if not bound_first:
        database.bind(provider="sqlite", filename=str(tmp_path / "x.db"), create_db=True)
    item = database.Entity.__class__("Item", (database.Entity,), {"name": orm.Required(str)})
    database.generate_mapping(create_tables=True)
    with orm.db_session:
        item(name="x")
    with orm.db_session:
        assert item.get().name == "x"
    assert (type(database.provider).__module__, database.provider_name) == ("pony.orm.dbproviders.sqlite", "sqlite")


def test_sqlite_is_refused_elsewhere(tmp_path: Path) -> None:
    database = orm.Database("sqlite", str(tmp_path / "x.db"), create_db=True)
    with pytest.raises(fly_orm.NotSupported, match=r"SQLite.*region 'lax'"):
        fly_orm.wrap(database, settings=settings("lax", "127.0.0.1:1"))
    database.disconnect()


@pytest.mark.parametrize(
    "bind",
    [
        lambda db: db.bind("sqlite", ":memory:"),
        lambda db: db.bind(provider="sqlite", filename=":memory:"),
        lambda db: db.bind({"provider": "sqlite", "filename": ":memory:"}),
        lambda db: db.bind("cockroach", database="x"),
        lambda db: db.bind(CRProvider, database="x"),
    ],
)
def test_what_is_no_postgres_is_refused_when_it_is_bound_elsewhere(bind: Callable[[Any], Any]) -> None:
    database = fly_orm.wrap(orm.Database(), settings=settings("lax", "127.0.0.1:1"))
    with pytest.raises(fly_orm.NotSupported, match="cannot be routed from region 'lax': only 'postgres' can"):
        bind(database)
    assert database.provider is None


def test_what_is_no_database_of_pony_is_refused() -> None:
    database = orm.Database()

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str)

    for wrong in (Item, orm.db_session):
        with pytest.raises(fly_orm.ConfigurationError, match="takes a Pony Database, not"):
            fly_orm.wrap(wrong, settings=settings("syd"))
