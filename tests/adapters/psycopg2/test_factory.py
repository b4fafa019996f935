"""Whatever connects through psycopg2 is routed by a connection factory, and shares one router for each database."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2 import extras, pool

import fly_orm
from fly_orm import Route
from fly_orm.adapters.base import ConnectionFactory
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.one_table import INSERT, TABLE
from tests.support.two_regions import TwoRegions, settings, trips
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def lax(regions: TwoRegions) -> Iterator[str]:
    """The connection string of the replica, in a process in lax."""
    regions.query(TABLE)
    regions.query("INSERT INTO t (name) VALUES ('first')")
    regions.cluster.wait_for_replica()
    fly_orm.configure(regions.lax_settings())
    yield regions.cluster.replica.dsn(regions.name)
    gc.collect()


def route(connection: Any, sql: str = "SELECT count(*) FROM t", *parameters: object) -> Route | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
    served = fly_orm.why()
    return None if served is None else served.route


def test_a_connection_reads_here_and_writes_on_the_primary(lax: str) -> None:
    connection = psycopg2.connect(lax, connection_factory=fly_orm.connection_factory())
    connection.autocommit = True
    assert route(connection) is Route.LOCAL
    assert route(connection, INSERT, "second") is Route.PRIMARY
    assert route(connection) is Route.LOCAL
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM t ORDER BY id")
        assert cursor.fetchall() == [("first",), ("second",)]
    connection.close()


def test_a_pool_of_psycopg2s_takes_it(lax: str) -> None:
    connections = pool.ThreadedConnectionPool(1, 3, lax, connection_factory=fly_orm.connection_factory())
    connection = connections.getconn()
    connection.autocommit = True
    assert route(connection, INSERT, "second") is Route.PRIMARY
    connections.putconn(connection)
    assert route(connections.getconn()) is Route.LOCAL
    connections.closeall()


def test_the_class_of_the_application_and_its_cursors_are_kept(lax: str) -> None:
    class Mine(ext.connection):
        def name_of(self) -> str:
            return self.info.dbname

    connection = psycopg2.connect(
        lax, connection_factory=fly_orm.connection_factory(connection_class=Mine), cursor_factory=extras.DictCursor
    )
    assert connection.name_of() in lax
    assert isinstance(connection, Mine)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM t")
        assert cursor.fetchone()["name"] == "first"
    connection.close()


class TestOneRouter:
    def test_serves_all_connections_to_a_database_whatever_factory_made_them(self, lax: str) -> None:
        one, other = (
            psycopg2.connect(dsn, connection_factory=fly_orm.connection_factory())
            for dsn in (lax, f"{lax} password=anything connect_timeout=5 application_name=other")
        )
        assert one.router is other.router
        one.close(), other.close()

    @pytest.mark.parametrize("more", ["dbname=postgres", "options='-c work_mem=8MB'", "port=1"])
    def test_serves_no_other_database_session_or_server(self, lax: str, more: str) -> None:
        factory = fly_orm.connection_factory()
        other = f"{lax} {more}"
        assert factory.router(lax) is factory.router(lax)
        assert factory.router(other) is not factory.router(lax)

    def test_has_the_arguments_of_its_factory_and_the_settings_of_its_process(
        self, lax: str, regions: TwoRegions
    ) -> None:
        router = fly_orm.connection_factory().router(lax)
        assert fly_orm.connection_factory(wait="read").router(lax) is not router
        given = fly_orm.connection_factory(settings=regions.lax_settings()).router(lax)
        assert given is not router
        assert fly_orm.connection_factory(settings=regions.lax_settings()).router(lax) is given
        fly_orm.configure(regions.lax_settings())
        assert fly_orm.connection_factory().router(lax) is not router

    def test_is_shared_by_threads_that_begin_at_once(self, lax: str) -> None:
        factory, found, together = fly_orm.connection_factory(), set(), threading.Barrier(8)

        def connect() -> None:
            together.wait(60)
            connection = psycopg2.connect(lax, connection_factory=factory)
            found.add(connection.router)
            connection.close()

        threads = [threading.Thread(target=connect) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 1

    def test_is_forgotten_with_its_factories_and_connections(self, lax: str) -> None:
        factory: Any = fly_orm.connection_factory()
        connection = psycopg2.connect(lax, connection_factory=factory)
        router = connection.router.reference
        del factory
        gc.collect()
        assert router() is not None
        connection.close()
        del connection
        gc.collect()
        assert router() is None

    def test_leaves_no_thread_and_no_connection(self, regions: TwoRegions, lax: str) -> None:
        where = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{regions.name}'"
        for _ in range(5):
            connection = psycopg2.connect(lax, connection_factory=fly_orm.connection_factory())
            connection.autocommit = True
            route(connection, INSERT, None)
            connection.close()
            del connection
            gc.collect()
        until(lambda: regions.cluster.replica.query(where) == 0, "a connection to the replica is left")
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("fly_orm timer") <= 1  # that of the process

    def test_connects_with_the_newest_password_that_has_worked(self, regions: TwoRegions, lax: str) -> None:
        """Passwords are not checked here, so a server that cannot be reached stands for a wrong one."""
        factory = fly_orm.connection_factory()
        connection = psycopg2.connect(f"{lax} password=old", connection_factory=factory)
        wrapped = connection.router.wrapped
        psycopg2.connect(f"{lax} password=new", connection_factory=factory).close()
        own = wrapped.connect()
        assert own.info.password == "new"
        wrapped.opens("host=/nowhere")  # as a connection that has failed
        assert wrapped.connect().info.password == "new"
        connection.close()


def test_a_database_without_a_name_in_its_address_is_the_one_that_it_leads_to(
    lax: str, monkeypatch: pytest.MonkeyPatch, regions: TwoRegions
) -> None:
    monkeypatch.setenv("PGDATABASE", regions.name)
    parameters = {name: value for name, value in ext.parse_dsn(lax).items() if name != "dbname"}
    connection = psycopg2.connect(**parameters, connection_factory=fly_orm.connection_factory())
    connection.autocommit = True
    assert connection.database == regions.name
    assert route(connection, INSERT, "second") is Route.PRIMARY
    connection.close()


def test_copies_are_the_same_factory_and_pickled_ones_work(lax: str) -> None:
    factory = fly_orm.connection_factory(lax, wait="read", defers_transactions=True)
    assert copy.copy(factory) is copy.deepcopy({"OPTIONS": factory})["OPTIONS"] is factory
    factory.router()
    restored = pickle.loads(pickle.dumps(factory))
    assert isinstance(restored, ConnectionFactory)
    assert restored.router() is factory.router()
    connection = psycopg2.connect(lax, connection_factory=restored)
    assert connection.defers_transactions
    connection.close()


def test_a_forked_process_goes_on_with_connections_of_its_own(lax: str) -> None:
    factory = fly_orm.connection_factory()
    connection = psycopg2.connect(lax, connection_factory=factory)
    connection.autocommit = True
    route(connection, INSERT, "parent")

    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = psycopg2.connect(lax, connection_factory=factory)
            own.autocommit = True
            status = 0 if (route(own, INSERT, "child"), route(own)) == (Route.PRIMARY, Route.LOCAL) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM t ORDER BY id")
        assert [name for (name,) in cursor.fetchall()] == ["first", "parent", "child"]
    connection.close()


class TestWithoutRouting:
    def test_in_the_primary_region_statements_run_on_the_server_itself(self, regions: TwoRegions, lax: str) -> None:
        syd = fly_orm.connection_factory(settings=settings("syd"), defers_transactions=True)
        connection = psycopg2.connect(regions.cluster.primary.dsn(regions.name), connection_factory=syd)
        assert trips(regions, lambda: route(connection, INSERT, "second")) == 0
        connection.defers_transactions = False
        connection.commit()
        assert route(connection) is Route.LOCAL
        connection.close()

    def test_without_a_primary_region_connections_are_psycopg2s_own_but_for_the_option(self, lax: str) -> None:
        only = Settings(topology=Topology(region="local", primary_region=None))
        factory = fly_orm.connection_factory(settings=only, connection_class=extras.LoggingConnection)
        connection: Any = psycopg2.connect(lax, connection_factory=factory)
        assert isinstance(connection, extras.LoggingConnection)
        connection.defers_transactions = True
        connection.close()


class TestServing:
    def test_a_factory_with_an_address_is_served(self, regions: TwoRegions) -> None:
        syd = fly_orm.connection_factory(regions.cluster.primary.dsn(regions.name), settings=settings("syd"))
        with fly_orm.serve(syd, listen="127.0.0.1:0", settings=settings("syd")) as serving:
            assert serving.databases == [regions.name]

    def test_one_without_says_what_to_do(self) -> None:
        factory = fly_orm.connection_factory()
        with pytest.raises(fly_orm.ConfigurationError, match="does not say which database it stands for"):
            fly_orm.serve(factory, listen="127.0.0.1:0", settings=settings("syd"))
        assert fly_orm.wrap(factory) is factory


def test_wrong_arguments_are_refused_at_once_and_wrong_addresses_by_the_connection(lax: str) -> None:
    with pytest.raises(fly_orm.ConfigurationError, match="wait must be"):
        fly_orm.connection_factory(wait="reads")  # type: ignore[arg-type]
    with pytest.raises(fly_orm.ConfigurationError, match="not valid"):
        fly_orm.connection_factory()("hots=x password=hidden")
    with pytest.raises(psycopg2.OperationalError, match="region's own"):
        psycopg2.connect(host="/nowhere", connection_factory=fly_orm.connection_factory())
    with pytest.raises(psycopg2.NotSupportedError, match="async"):
        psycopg2.connect(lax, connection_factory=fly_orm.connection_factory(), async_=True)


def test_a_wrapped_database_needs_none(regions: TwoRegions) -> None:
    database = regions.lax(connection_factory=fly_orm.connection_factory())
    with pytest.raises(psycopg2.NotSupportedError, match="leave out one of the two"):
        database.connect()
