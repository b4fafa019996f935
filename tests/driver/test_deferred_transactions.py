"""Transactions that begin with the first statement that needs the primary, as Pony's do: where their reads run."""

from typing import Any

import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import Route
from tests.support.one_table import one_table
from tests.support.two_regions import TwoRegions, trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")

COUNT = "SELECT count(*) FROM t"


@pytest.fixture
def connection(regions: TwoRegions) -> Any:
    connection = one_table(regions).connection()
    connection.autocommit = False
    connection.defers_transactions = True
    return connection


def count(connection: Any) -> tuple[int, Route]:
    """How many rows a statement of the connection sees, and where it runs."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT)
        served = fly_orm.why()
        assert served is not None
        return cursor.fetchone()[0], served.route


def add(regions: TwoRegions) -> None:
    regions.query("INSERT INTO t (name) VALUES ('another') RETURNING 1")
    regions.cluster.wait_for_replica()


def test_reads_run_on_the_replica_until_the_first_write(regions: TwoRegions, connection: Any) -> None:
    assert count(connection) == (1, Route.LOCAL)
    connection.cursor().execute("INSERT INTO t (name) VALUES ('second')")
    assert count(connection) == (2, Route.PRIMARY)


@pytest.mark.parametrize(
    "level",
    [
        lambda connection: connection.set_session(isolation_level=ext.ISOLATION_LEVEL_REPEATABLE_READ),
        lambda connection: connection.set_session(isolation_level=ext.ISOLATION_LEVEL_SERIALIZABLE),
        lambda connection: setting(connection, "SET default_transaction_isolation TO 'repeatable read'"),
        lambda connection: setting(connection, "SELECT set_config('default_transaction_isolation', %s, false)"),
        lambda connection: setting(
            connection, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        ),
    ],
    ids=["repeatable read", "serializable", "SET", "set_config", "SET SESSION CHARACTERISTICS"],
)
def test_one_that_reads_a_single_snapshot_reads_no_other(regions: TwoRegions, connection: Any, level: Any) -> None:
    level(connection)
    assert count(connection) == (1, Route.PRIMARY)
    add(regions)
    assert count(connection)[0] == 1
    connection.cursor().execute("INSERT INTO t (name) VALUES ('second')")
    assert count(connection)[0] == 2
    connection.commit()
    assert count(connection)[0] == 3


def setting(connection: Any, sql: str) -> None:
    connection.cursor().execute(sql, ("repeatable read",) if "%s" in sql else None)
    connection.commit()


def test_after_a_reset_reads_run_on_the_replica_again(connection: Any) -> None:
    setting(connection, "SET default_transaction_isolation TO 'repeatable read'")
    setting(connection, "RESET default_transaction_isolation")
    assert count(connection) == (1, Route.LOCAL)


def test_the_database_own_level_counts(regions: TwoRegions, connection: Any) -> None:
    regions.query(f"ALTER DATABASE {regions.name} SET default_transaction_isolation TO 'repeatable read'")
    regions.cluster.wait_for_replica()
    other = regions.lax().connection()
    other.autocommit, other.defers_transactions = False, True
    assert count(other) == (1, Route.PRIMARY)
    add(regions)
    assert count(other)[0] == 1


def test_a_named_cursor_works_in_one(connection: Any) -> None:
    with connection.cursor("named") as cursor:
        cursor.execute("SELECT name FROM t")
        assert cursor.fetchall() == [("first",)]
    connection.rollback()
    assert count(connection) == (1, Route.LOCAL)
    with connection.cursor("named") as cursor:
        cursor.execute("SELECT name FROM t")
        assert cursor.fetchone() == ("first",)


class TestASavepointBeforeAnyWrite:
    def test_keeps_reads_on_the_replica(self, regions: TwoRegions, connection: Any) -> None:
        def work() -> None:
            cursor = connection.cursor()
            cursor.execute("SAVEPOINT a")
            assert count(connection) == (1, Route.LOCAL)
            assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_INTRANS
            cursor.execute("ROLLBACK TO a")
            assert count(connection) == (1, Route.LOCAL)
            cursor.execute("RELEASE a")
            connection.commit()

        assert trips(regions, work) == 0

    def test_undoes_the_writes_after_it(self, regions: TwoRegions, connection: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SAVEPOINT a")
        assert count(connection) == (1, Route.LOCAL)
        cursor.execute("INSERT INTO t (name) VALUES ('never')")
        assert count(connection) == (2, Route.PRIMARY)
        cursor.execute("ROLLBACK TO a")
        cursor.execute("INSERT INTO t (name) VALUES ('second')")
        assert count(connection) == (2, Route.PRIMARY)
        connection.commit()
        cursor.execute("SELECT name FROM t ORDER BY id")
        assert cursor.fetchall() == [("first",), ("second",)]

    def test_keeps_what_a_refused_read_writes_in_the_transaction(self, regions: TwoRegions, connection: Any) -> None:
        regions.query("CREATE FUNCTION add() RETURNS void LANGUAGE sql AS 'INSERT INTO t DEFAULT VALUES'")
        regions.cluster.wait_for_replica()
        cursor = connection.cursor()
        cursor.execute("SAVEPOINT a")
        cursor.execute("SELECT add()")
        assert count(connection) == (2, Route.PRIMARY)
        connection.rollback()
        assert count(connection)[0] == 1
