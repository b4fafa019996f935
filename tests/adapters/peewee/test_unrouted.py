"""Where nothing can or need be routed, a wrapped database is as it was, or the reason is given."""

from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest
from peewee import CharField, IntegerField, Model, PostgresqlDatabase, SqliteDatabase
from playhouse import cockroachdb
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.one_item import works
from tests.support.two_regions import SECRET, TwoRegions, settings


class Item(Model):  # type: ignore[misc]
    name = CharField(unique=True)
    n = IntegerField(default=0)


UNSUPPORTED = {
    "SqliteDatabase": lambda: SqliteDatabase(":memory:"),
    "MySQLDatabase": lambda: peewee.MySQLDatabase("x"),
    "CockroachDatabase": lambda: cockroachdb.CockroachDatabase("x"),
    "AsyncPostgresqlDatabase": lambda: pytest.importorskip(
        "playhouse.pwasyncio", exc_type=ImportError
    ).AsyncPostgresqlDatabase("x"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_another_database_is_left_alone_in_the_primary_region_and_refused_elsewhere(name: str) -> None:
    database = UNSUPPORTED[name]()
    adapter, kept = getattr(database, "_adapter", None), dict(vars(database))
    assert fly_orm.wrap(database, settings=settings("syd")) is database
    assert (getattr(database, "_adapter", None), dict(vars(database))) == (adapter, kept)
    with pytest.raises(fly_orm.NotSupported, match=f"{name}.*'lax'"):
        fly_orm.wrap(database, settings=settings("lax", "127.0.0.1:1"))


@pytest.mark.parametrize(
    ("database", "complaint"),
    [
        (SqliteDatabase(":memory:"), "SqliteDatabase is not a PostgresqlDatabase, so"),
        (peewee.DatabaseProxy(), r"this DatabaseProxy has no database yet; call its initialize\(\)"),
        (Item, "wrap\\(\\) takes a peewee database, not <Model: Item>"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, database: Any, complaint: str
) -> None:
    monkeypatch.setenv("PRIMARY_REGION", "syd")
    monkeypatch.setenv("FLY_REGION", "syd")
    with pytest.raises(fly_orm.ConfigurationError, match=complaint):
        fly_orm.serve(database, settings=settings("syd"))


def test_psycopg_3_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    database = PostgresqlDatabase("x")
    database._adapter = object.__new__(peewee.Psycopg3Adapter)
    with pytest.raises(fly_orm.NotSupported, match="use psycopg2"):
        fly_orm.wrap(database, settings=settings("lax", "127.0.0.1:1"))


def test_a_sqlite_database_works_without_regions(tmp_path: Path) -> None:
    database = fly_orm.wrap(
        SqliteDatabase(tmp_path / "x.db"), settings=Settings(topology=Topology(region="local", primary_region=None))
    )
    with Item.bind_ctx(database):
        database.create_tables([Item])
        assert Item.create(name="x").id == Item.get().id
    database.close()


@pytest.mark.parametrize(
    "topology", [Topology(region="local", primary_region=None), Topology(region="syd", primary_region="syd")]
)
def test_in_the_primary_region_a_connection_is_psycopg2s_own(regions: TwoRegions, topology: Topology) -> None:
    database = fly_orm.wrap(regions.plain(), settings=Settings(topology=topology, secret=SECRET))
    database.connect()
    assert [cls.__module__.partition(".")[0] for cls in type(database.connection()).__mro__[-2:]] == [
        "psycopg2",
        "builtins",
    ]
    cursor = database.connection().cursor()
    assert type(cursor).__name__ == "cursor"
    assert (type(cursor) is ext.cursor) is (topology.primary_region is None)  # what it writes is told to other regions
    with Item.bind_ctx(database):
        database.create_tables([Item])
        with database.atomic():
            Item.create(name="x")
        assert Item.get().name == "x"


def _by_itself(database: Any, **more: Any) -> Any:
    connection = psycopg2.connect(dbname=database.database, **database.connect_params, **more)
    connection.autocommit = True
    return connection


def _through_peewee(database: Any) -> Any:
    database.connect_params["application_name"] = "own"
    return super(type(database), database)._connect()


def _through_a_factory(database: Any) -> Any:
    return _by_itself(database, connection_factory=fly_orm.connection_factory())


class TestAConnectOfItsOwn:
    @pytest.mark.parametrize("region", ["lax", "syd"])
    @pytest.mark.parametrize("base", [PostgresqlDatabase, PooledPostgresqlDatabase])
    def test_that_connects_by_itself_is_refused(self, regions: TwoRegions, base: Any, region: str) -> None:
        opened = []
        own = type("Own", (base,), {"_connect": lambda self: opened.append(_by_itself(self)) or opened[-1]})
        database = getattr(regions, region)(own)
        for connect in (database.connect, lambda: database.execute_sql("SELECT 1"), database.atomic().__enter__):
            with pytest.raises(fly_orm.NotSupported, match=r"^_connect\(\) of Own opens.*super\(\)") as raised:
                connect()
            assert isinstance(raised.value, peewee.NotSupportedError)
            assert database.is_closed()
        assert all(connection.closed for connection in opened)

    def test_below_a_pool_takes_none_of_its_places(self, regions: TwoRegions) -> None:
        own = type("Own", (PostgresqlDatabase,), {"_connect": _by_itself})
        database = regions.lax(type("Pooled", (PooledPostgresqlDatabase, own), {}), max_connections=1)
        for _ in range(3):
            with pytest.raises(fly_orm.NotSupported, match=r"_connect\(\) of Pooled opens"):
                database.connect()

    @pytest.mark.parametrize("connect", [_through_peewee, _through_a_factory])
    def test_whose_connections_are_routed_works(self, regions: TwoRegions, connect: Any) -> None:
        fly_orm.configure(regions.lax_settings())
        database = regions.lax(type("Own", (PostgresqlDatabase,), {"_connect": connect}))
        works(database)

    def test_is_left_alone_where_there_is_one_region(self, regions: TwoRegions) -> None:
        only = Settings(topology=Topology(region="local", primary_region=None))
        database = regions.lax(type("Own", (PostgresqlDatabase,), {"_connect": _by_itself}), options={"settings": only})
        assert database.execute_sql("SELECT 1").fetchone() == (1,)

    def test_of_an_adapter_is_refused_too(self, regions: TwoRegions) -> None:
        class Adapter(peewee.Psycopg2Adapter):  # type: ignore[misc]
            def connect(self, db: Any, **params: Any) -> Any:
                return _by_itself(db)

        own = type("Own", (PostgresqlDatabase,), {"psycopg2_adapter": Adapter})
        database = regions.lax(own)
        with pytest.raises(fly_orm.NotSupported, match=r"what connects for this database opens.*connection_factory"):
            database.connect()
        assert database.is_closed()
