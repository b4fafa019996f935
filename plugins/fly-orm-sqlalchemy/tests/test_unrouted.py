"""Engines that cannot be routed are refused in a secondary region, and left alone where nothing has to be routed."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg2
import pytest
from fly_orm_sqlalchemy import FlyOrmPlugin
from psycopg2 import extensions as ext
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import InternalError, NotSupportedError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy_models import Item
from sqlalchemy_regions import LOCAL, router_of, served

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.two_regions import settings

ONLY = Settings(topology=Topology(region="local", primary_region=None))
NOWHERE = "postgresql+psycopg2://nobody@127.0.0.1:1/nowhere"


def without_driver(dialect, name):
    """An engine as create_engine() makes it, of a driver that is not installed here."""
    return Engine(NullPool(lambda: None), dialect(), make_url(f"postgresql+{name}://nobody@127.0.0.1:1/nowhere"))


def sqlite():
    return create_engine("sqlite://")


def pg8000():
    return without_driver(PGDialect_pg8000, "pg8000")


def psycopg():
    return without_driver(PGDialect_psycopg, "psycopg")


def asyncpg():
    return AsyncEngine(without_driver(PGDialect_asyncpg, "asyncpg"))


def instrumented():
    return create_engine(NOWHERE, module=SimpleNamespace(**vars(psycopg2)))


def cockroach():
    engine = create_engine(NOWHERE)
    engine.dialect = type("CockroachDialect", (PGDialect_psycopg2,), {"name": "cockroachdb"})(dbapi=psycopg2)
    return engine


UNROUTABLE = {
    sqlite: "this engine is for sqlite, and not for PostgreSQL",
    cockroach: "this engine is for cockroachdb, and not for PostgreSQL",
    pg8000: r"connects through pg8000 \(to use psycopg2, write",
    psycopg: r"connects through psycopg \(to use psycopg2, write postgresql\+psycopg2://",
    asyncpg: r"is asynchronous \(postgresql\+asyncpg\)",
    instrumented: r"another DB-API module than psycopg2 \(leave out module=\)",
}


@pytest.mark.parametrize(("make", "why"), UNROUTABLE.items(), ids=lambda case: getattr(case, "__name__", "why"))
def test_an_engine_that_cannot_be_routed(make, why):
    engine = make()
    with pytest.raises(fly_orm.NotSupported, match=f"{why}.*cannot route it from region 'lax'"):
        fly_orm.wrap(engine, settings=settings("lax"))
    assert router_of(engine) is None
    assert fly_orm.wrap(engine, settings=settings("syd")) is engine
    assert router_of(engine) is None
    fly_orm.configure(settings("syd"))
    with pytest.raises(fly_orm.ConfigurationError, match=f"{why}.*cannot route or serve it"):
        fly_orm.serve(engine, listen="127.0.0.1:0", settings=settings("syd"))


def test_where_there_is_one_region_anything_may_be_wrapped():
    engine = fly_orm.wrap(sqlite(), settings=ONLY)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()
    assert router_of(engine) is not None
    with pytest.raises(fly_orm.NotSupported, match="for sqlite"):
        router_of(engine).wrapped.connect()


def test_only_an_engine_can_be_wrapped_or_checked():
    for other in (Session(), sessionmaker(), create_engine(NOWHERE).pool):
        with pytest.raises(fly_orm.ConfigurationError, match=r"takes an Engine, and not .*\. Wrap the engine that"):
            fly_orm.wrap(other, settings=settings("lax"))
        with pytest.raises(fly_orm.ConfigurationError, match=r"takes an Engine, and not .*\. Wrap the engine that"):
            fly_orm.check(other)


def test_a_check_does_not_wrap_an_engine():
    fly_orm.configure(settings("lax"))
    engine = create_engine(NOWHERE)
    with pytest.raises(fly_orm.ConfigurationError, match="this Engine is not wrapped: where it is made, call"):
        fly_orm.check(engine)
    assert router_of(engine) is None


def test_an_asynchronous_session_is_refused_as_such():
    asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio")
    for other in asynchronous.AsyncSession(), asynchronous.async_sessionmaker():
        with pytest.raises(fly_orm.ConfigurationError, match=r"psycopg2, which are not asynchronous: use"):
            fly_orm.wrap(other, settings=settings("lax"))


def test_whatever_connects_by_itself_is_refused(regions):
    def connect(*_arguments):
        return regions.cluster.replica.connect(regions.name)

    for options in ({"creator": connect}, {"pool": QueuePool(connect)}):
        with pytest.raises(fly_orm.ConfigurationError, match=r"creator= or the pool= .*connects by itself"):
            fly_orm.wrap(create_engine(NOWHERE, **options), settings=settings("lax"))
    engine = regions.lax()
    event.listen(engine, "do_connect", connect)
    with pytest.raises(fly_orm.ConfigurationError, match='a "do_connect" listener of the engine connects by itself'):
        engine.connect()


def test_a_dialect_that_connects_by_itself_is_refused(regions):
    engine = regions.unwrapped()
    opened = []

    def connect(*_arguments, **_parameters):
        opened.append(regions.cluster.replica.connect(regions.name))
        return opened[-1]

    engine.dialect.connect = connect
    fly_orm.wrap(engine, settings=regions.lax_settings())
    with pytest.raises(NotSupportedError, match="what connects for this database opens") as raised:
        engine.connect()
    assert isinstance(raised.value, fly_orm.NotSupported)
    assert [connection.closed for connection in opened] == [1]


def test_a_listener_that_changes_the_parameters_is_heard_for_every_connection(regions):
    engine = regions.lax(connect_args={"password": "old"})
    seen = []

    @event.listens_for(engine, "do_connect")
    def _token(_dialect, _record, _args, parameters):
        parameters["password"] = "new"
        parameters["application_name"] = "web"
        seen.append(parameters["password"])

    with engine.connect() as connection:
        assert served(connection, "SHOW application_name") == ([("web",)], LOCAL)
    own = router_of(engine).connect()
    assert (own.info.dsn_parameters["application_name"], type(own)) == ("web", ext.connection)
    own.close()
    assert len(seen) >= 2


def test_an_option_that_would_let_a_commit_raise_is_refused():
    with pytest.raises(fly_orm.ConfigurationError, match='on_lag="raise" would let commit'):
        fly_orm.wrap(create_engine(NOWHERE), settings=settings("lax"), on_lag="raise")


def test_an_engine_is_wrapped_once_and_not_while_it_is_in_use(regions):
    engine = regions.lax()
    router, connect = router_of(engine), engine.dialect.connect
    assert fly_orm.wrap(engine, wait="none") is engine
    assert fly_orm.wrap(engine.execution_options(isolation_level="AUTOCOMMIT")).dialect.connect is connect
    assert router_of(engine) is router
    used = regions.unwrapped()
    with used.connect(), pytest.raises(fly_orm.ConfigurationError, match="while a connection of the engine is in use"):
        fly_orm.wrap(used, settings=regions.lax_settings())
    fly_orm.wrap(used, settings=regions.lax_settings())
    with used.connect() as connection:
        assert served(connection, "SELECT 1") == ([(1,)], LOCAL)


class TestThePlugIn:
    def test_chooses_psycopg2_where_the_url_leaves_the_driver_open(self):
        fly_orm.configure(settings("lax"))
        for name in ("postgres", "postgresql", "postgresql+psycopg2"):
            engine = create_engine(f"{name}://nobody@127.0.0.1:1/nowhere", plugins=["fly_orm"])
            assert engine.dialect.driver == "psycopg2"
            assert router_of(engine).name == "nowhere"
        with pytest.raises(fly_orm.NotSupported, match="for sqlite"):
            create_engine("sqlite://", plugins=["fly_orm"])

    def test_passes_the_options_on(self):
        fly_orm.configure(settings("lax"))
        engine = create_engine(NOWHERE, plugins=["fly_orm"], fly_orm={"name": "shop"})
        assert router_of(engine).name == "shop"
        with pytest.raises(fly_orm.ConfigurationError, match="takes a dict of the arguments of wrap"):
            create_engine(NOWHERE, plugins=["fly_orm"], fly_orm="read")
        assert FlyOrmPlugin.__module__.startswith("fly_orm_sqlalchemy")


class TestInThePrimaryRegion:
    def test_an_engine_behaves_as_it_does_unwrapped_and_can_be_served(self, regions):
        regions.create_tables()
        engine = regions.syd()
        with Session(engine) as session:
            session.add(item := Item(name="a"))
            session.commit()
            assert item.name == "a"
            assert fly_orm.why().route is LOCAL
        with fly_orm.serve(engine, listen="127.0.0.1:0", settings=settings("syd")) as serving:
            assert serving.databases == [regions.name]

    def test_a_creator_is_refused_too(self, regions):
        engine = create_engine(NOWHERE, creator=lambda: regions.cluster.primary.connect(regions.name))
        with pytest.raises(fly_orm.ConfigurationError, match="connects by itself"):
            fly_orm.wrap(engine, settings=settings("syd"))


class TestWithoutRegions:
    def test_connections_are_psycopg2s_own(self, regions):
        regions.create_tables()
        engine = regions.lax(server=regions.cluster.primary, wrap={"settings": ONLY})
        with engine.connect() as connection:
            assert type(connection.connection.dbapi_connection) is ext.connection
            assert served(connection, "INSERT INTO item (name, n) VALUES ('a', 0)") == ([], None)
            connection.commit()

    def test_a_replica_explains_why_it_refuses_a_write(self, regions):
        regions.create_tables()
        engine = regions.lax(wrap={"settings": ONLY})
        with engine.connect() as connection, pytest.raises(InternalError, match="PRIMARY_REGION is not set"):
            served(connection, "INSERT INTO item (name, n) VALUES ('a', 0)")


def test_the_name_of_the_database_may_be_among_the_arguments_of_connect(regions):
    wrap = {"settings": settings("syd")}
    server = regions.cluster.primary.params(regions.name)
    engine = create_engine("postgresql+psycopg2://", connect_args={**server})
    regions.close_later(fly_orm.wrap(engine, **wrap))
    assert router_of(engine).name == regions.name
