"""What a statement costs on the way to the primary region, in round trips."""

from typing import Any

import pytest
from psycopg2 import extras

import fly_orm
from tests.support.two_regions import TwoRegions, trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """A database in lax, whose channel is open."""
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    database = regions.lax()
    database.execute_sql("INSERT INTO t (name) VALUES ('first')")
    return database


def test_a_write_takes_one(regions: TwoRegions, db: Any) -> None:
    assert trips(regions, lambda: db.execute_sql("INSERT INTO t (name) VALUES ('x') RETURNING id").fetchall()) == 1


def test_a_read_takes_none(regions: TwoRegions, db: Any) -> None:
    assert trips(regions, lambda: db.execute_sql("SELECT * FROM t").fetchall()) == 0


def test_a_read_that_the_replica_refuses_takes_one(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("CREATE FUNCTION add() RETURNS void LANGUAGE sql AS 'INSERT INTO t DEFAULT VALUES'")
    assert trips(regions, lambda: db.execute_sql("SELECT add()")) == 1


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN; SAVEPOINT a", "BEGIN ISOLATION LEVEL REPEATABLE READ"])
def test_a_transaction_without_a_statement_takes_none(regions: TwoRegions, db: Any, begin: str, end: str) -> None:
    def work() -> None:
        for statement in (*begin.split("; "), end):
            db.execute_sql(statement)

    assert trips(regions, work) == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_transaction_takes_one_for_each_statement_and_one_to_commit(regions: TwoRegions, db: Any, count: int) -> None:
    def work() -> None:
        with db.atomic():
            for number in range(count):
                db.execute_sql("INSERT INTO t (name) VALUES (%s)", (str(number),))

    assert trips(regions, work) == count + 1


def test_nesting_and_undoing_take_none(regions: TwoRegions, db: Any) -> None:
    def work() -> None:
        with db.atomic():
            with db.atomic():
                db.execute_sql("INSERT INTO t (name) VALUES ('a')")
            with db.atomic() as inner:
                db.execute_sql("INSERT INTO t (name) VALUES ('b')")
                inner.rollback()
            with db.atomic(), db.atomic():
                db.execute_sql("SELECT count(*) FROM t").fetchall()

    assert trips(regions, work) == 4


def test_a_transaction_of_the_db_api_takes_as_many(regions: TwoRegions, db: Any) -> None:
    connection = db.connection()
    connection.autocommit = False

    def work() -> None:
        connection.cursor().execute("INSERT INTO t (name) VALUES ('a')")
        connection.commit()
        connection.commit()
        connection.rollback()
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    assert trips(regions, work) == 4


def test_many_rows_travel_together(regions: TwoRegions, db: Any) -> None:
    rows = [(f"row {number}",) for number in range(500)]
    cursor = db.connection().cursor()
    assert trips(regions, lambda: cursor.executemany("INSERT INTO t (name) VALUES (%s)", rows)) == 1
    rows = [(f"value {number}",) for number in range(500)]
    assert (
        trips(regions, lambda: extras.execute_values(cursor, "INSERT INTO t (name) VALUES %s", rows, page_size=500))
        == 1
    )


def test_a_setting_takes_none(regions: TwoRegions, db: Any) -> None:
    assert trips(regions, lambda: db.execute_sql("SET TimeZone = 'Asia/Tokyo'")) == 0
    assert trips(regions, lambda: db.execute_sql("INSERT INTO t (name) VALUES ('x')")) == 1


def test_a_read_only_transaction_takes_none(regions: TwoRegions, db: Any) -> None:
    def work() -> None:
        for statement in ("BEGIN READ ONLY", "SELECT count(*) FROM t", "COMMIT"):
            db.execute_sql(statement)

    assert trips(regions, work) == 0


def test_on_the_primary_a_read_takes_one(regions: TwoRegions, db: Any) -> None:
    with fly_orm.primary():
        assert trips(regions, lambda: db.execute_sql("SELECT count(*) FROM t")) == 1
        served = fly_orm.why()
    assert served is not None
    assert (served.route, served.node) == (fly_orm.Route.PRIMARY, f"syd={regions.wan.address}")
    assert trips(regions, lambda: db.execute_sql("SELECT count(*) FROM t")) == 0


def test_many_rows_at_once_take_one_for_every_few_megabytes(regions: TwoRegions, db: Any) -> None:
    cursor = db.cursor()
    short = [(str(number),) for number in range(900)]
    assert trips(regions, lambda: cursor.executemany("INSERT INTO t (name) VALUES (%s)", short)) == 1
    long = [(letter * 3_000_000,) for letter in "abc"]
    assert trips(regions, lambda: cursor.executemany("INSERT INTO t (name) VALUES (md5(%s))", long)) == 3
