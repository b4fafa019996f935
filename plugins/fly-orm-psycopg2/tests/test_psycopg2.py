"""An application that uses psycopg2 without an ORM works in a secondary region as it does on the primary."""

import gc
import threading

import psycopg2
import psycopg2_shop as shop
import pytest
from fly_orm_psycopg2 import ExampleFactory
from psycopg2 import errors, extras

import fly_orm
from fly_orm.settings import Settings
from fly_orm.topology import Topology
from tests.support.nodes import url
from tests.support.two_regions import settings

LOCAL, PRIMARY = fly_orm.Route.LOCAL, fly_orm.Route.PRIMARY


def run(connection, sql, *parameters):
    """The rows of a statement, if there are any, and where it ran, if that was routed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall() if cursor.description else None
    served = fly_orm.why()
    return rows, served and served.route


def names(connection):
    rows, _ = run(connection, "SELECT name FROM item ORDER BY id")
    return [name for (name,) in rows]


def test_reads_run_locally_and_writes_on_the_primary_and_are_read_back(regions, connection):
    assert run(connection, "SELECT pg_is_in_recovery()") == ([(True,)], LOCAL)
    for number in range(5):
        assert run(connection, "INSERT INTO item (name) VALUES (%s)", f"item {number}") == (None, PRIMARY)
        rows, route = run(connection, "SELECT count(*) FROM item")
        assert (rows, route) == ([(number + 1,)], LOCAL)
    assert names(regions.primary.connect()) == [f"item {number}" for number in range(5)]


def test_a_transaction_sees_its_own_writes_and_commits_them(regions, connection):
    with connection:
        run(connection, "INSERT INTO item (name) VALUES ('a')")
        assert run(connection, "SELECT name, pg_is_in_recovery() FROM item") == ([("a", False)], PRIMARY)
        assert names(regions.primary.connect()) == []
    assert names(connection) == ["a"]
    assert fly_orm.why().route is LOCAL


def test_a_transaction_that_raises_is_rolled_back(regions, connection):
    with pytest.raises(ZeroDivisionError), connection:
        run(connection, "INSERT INTO item (name) VALUES ('a')")
        raise ZeroDivisionError
    assert names(connection) == names(regions.primary.connect()) == []


def test_an_error_of_the_primary_is_psycopg2s_own(connection):
    run(connection, "INSERT INTO item (name) VALUES ('a')")
    with pytest.raises(errors.UniqueViolation) as caught:
        run(connection, "INSERT INTO item (name) VALUES ('a')")
    assert caught.value.diag.constraint_name == "item_name_key"
    with pytest.raises(psycopg2.IntegrityError), connection:
        run(connection, "INSERT INTO item (name) VALUES ('a')")
    assert names(connection) == ["a"]


def test_an_error_of_fly_orm_is_caught_as_psycopg2s(regions, connection):
    regions.node.kill()
    assert names(connection) == []
    with pytest.raises(psycopg2.OperationalError) as caught:
        run(connection, "INSERT INTO item (name) VALUES ('a')")
    assert isinstance(caught.value, fly_orm.NotDelivered)


def test_the_cursor_class_of_the_factory_is_used(regions):
    factory = ExampleFactory(url(regions.cluster.replica, regions.name), cursor_factory=extras.RealDictCursor)
    connection = fly_orm.wrap(factory).connect()
    assert run(connection, "INSERT INTO item (name) VALUES ('a') RETURNING name") == ([{"name": "a"}], PRIMARY)
    assert run(connection, "SELECT name FROM item") == ([{"name": "a"}], LOCAL)
    factory.router.close()


def test_a_function_runs_on_the_node_and_its_writes_are_read_here(regions, connection):
    assert shop.stock("a", "b") == [1, 2]
    assert names(connection) == ["a", "b"]
    assert fly_orm.why().route is LOCAL
    with pytest.raises(errors.UniqueViolation) as caught:
        shop.stock("c", "a")
    assert caught.value.diag.constraint_name == "item_name_key"
    assert names(connection) == ["a", "b"]


def test_the_next_function_finds_nothing_of_the_one_before(regions, connection):
    shop.leave_open("a")
    assert shop.left_open() == (1, 0)
    assert names(regions.primary.connect()) == []


def test_a_function_cannot_be_called_inside_a_transaction(connection):
    with connection:
        assert names(connection) == []
        with pytest.raises(psycopg2.NotSupportedError, match="cannot join the one that is open"):
            shop.stock("a")
    assert shop.stock("b")


def test_a_transaction_of_another_thread_does_not_matter(regions):
    begun, ended = threading.Event(), threading.Event()

    def transaction():
        with regions.factory.connect() as connection:
            run(connection, "SELECT 1")
            begun.set()
            ended.wait(60)
        connection.close()

    thread = threading.Thread(target=transaction)
    thread.start()
    begun.wait(60)
    try:
        assert shop.stock("a")
    finally:
        ended.set()
        thread.join()


def test_in_the_primary_region_nothing_is_routed_and_the_factory_can_be_served(regions):
    syd = fly_orm.wrap(ExampleFactory(url(regions.cluster.primary, regions.name)), settings=settings("syd"))
    connection = syd.connect()
    assert run(connection, "INSERT INTO item (name) VALUES ('a')") == (None, fly_orm.Route.LOCAL)
    assert names(connection) == ["a"]
    with fly_orm.serve(syd, listen="127.0.0.1:0", settings=settings("syd")) as serving:
        assert serving.databases == [regions.name]
    connection.close()


def test_without_regions_connections_are_psycopg2s_own(cluster, database):
    only = Settings(topology=Topology(region="local", primary_region=None))
    connection = fly_orm.wrap(ExampleFactory(url(cluster.primary, database)), settings=only).connect()
    assert type(connection) is psycopg2.extensions.connection
    assert run(connection, "SELECT 1")[0] == [(1,)]
    connection.close()


def test_a_factory_is_wrapped_once_and_before_it_is_used(regions):
    open_routed = regions.factory.open
    assert fly_orm.wrap(regions.factory) is regions.factory
    assert regions.factory.open is open_routed
    used = ExampleFactory(url(regions.cluster.replica, regions.name))
    connection = used.connect()
    with pytest.raises(fly_orm.ConfigurationError, match="after connect"):
        fly_orm.wrap(used)
    connection.close()
    del connection
    gc.collect()
    assert fly_orm.wrap(used).router.name == regions.name
    used.router.close()


def test_only_a_factory_with_a_database_can_be_served():
    with pytest.raises(fly_orm.ConfigurationError, match="takes an ExampleFactory, not 5"):
        fly_orm.wrap(Five(5))
    nameless = fly_orm.wrap(ExampleFactory("host=x"), settings=settings("syd"))
    with pytest.raises(fly_orm.ConfigurationError, match="pass it a dbname"):
        fly_orm.serve(nameless, listen="127.0.0.1:0", settings=settings("syd"))


class Five(int):
    """Something else of the same package."""

    __module__ = "fly_orm_psycopg2.other"


def test_a_check_does_not_wrap_a_factory():
    factory = ExampleFactory("dbname=shop")
    with pytest.raises(fly_orm.ConfigurationError, match="this ExampleFactory is not wrapped: where it is made, call"):
        fly_orm.check(factory)
    assert not hasattr(factory, "router")
