"""What observers hear of statements, in both regions."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.observing import Route, StatementServed, StatementStarted
from fly_orm.sessions.running import RunningStatement, is_running
from tests.observing.heard import hearing
from tests.support.two_regions import TwoRegions


@pytest.fixture(params=["lax", "syd"])
def region(request: pytest.FixtureRequest) -> str:
    region: str = request.param
    return region


@pytest.fixture
def db(regions: TwoRegions, region: str) -> Any:
    """A database in one of the regions, with a table."""
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    database = getattr(regions, region)()
    database.connect()
    return database


def served(work: Callable[[], Any]) -> list[StatementServed]:
    """The statements of some work. Each has begun before, with the same text."""
    with hearing() as heard:
        work()
    ends, starts = heard.of(StatementServed), heard.of(StatementStarted)
    assert [(end.id, end.sql, end.statements) for end in ends] == [
        (each.id, each.sql, each.statements) for each in starts
    ]
    for end in ends:
        assert end.total >= end.rpc + end.wait
        assert (end.rpc > 0) == (end.round_trips > 0) == (end.node is not None)
    return ends


def shown(statements: list[StatementServed]) -> list[tuple[str, str, int]]:
    return [(each.kind, each.sql, each.rows) for each in statements]


def test_a_read(db: Any, region: str) -> None:
    (read,) = served(lambda: db.execute_sql("SELECT name FROM t WHERE name = 'ann'").fetchall())
    assert shown([read]) == [("read", "SELECT name FROM t WHERE name = ?", 0)]
    assert (read.route, read.round_trips, read.database, read.error) == (Route.LOCAL, 0, db.database, None)
    assert read.server


def test_a_write(db: Any, region: str) -> None:
    (write,) = served(lambda: db.execute_sql("INSERT INTO t (name) VALUES (%s), (%s)", ("ann", "bob")))
    assert shown([write]) == [("write", "INSERT INTO t (name) VALUES (%s), (%s)", 2)]
    assert (write.route, write.round_trips) == ((Route.PRIMARY, 1) if region == "lax" else (Route.LOCAL, 0))
    assert write.node is None if region == "syd" else write.node.startswith("syd=")


def test_a_transaction(db: Any, region: str) -> None:
    def work() -> None:
        with db.atomic():
            db.execute_sql("INSERT INTO t (name) VALUES ('ann')")
            db.execute_sql("SELECT * FROM t")

    statements = served(work)
    assert [each.command for each in statements] == ["BEGIN", "INSERT", "SELECT", "COMMIT"]
    assert [each.kind for each in statements] == ["control", "write", "read", "control"]
    assert [each.round_trips for each in statements] == ([0, 1, 1, 1] if region == "lax" else [0, 0, 0, 0])
    assert {each.route for each in statements} == {Route.PRIMARY if region == "lax" else Route.LOCAL}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_that_the_driver_begins(db: Any, region: str, end: str) -> None:
    connection = db.connection()
    connection.autocommit = False
    cursor = connection.cursor()

    def work() -> None:
        cursor.execute("INSERT INTO t (name) VALUES ('ann')")
        getattr(connection, end)()
        getattr(connection, end)()  # nothing is open any more

    statements = served(work)
    assert [each.command for each in statements] == ["INSERT", end.upper()]
    assert [each.round_trips for each in statements] == ([1, 1] if region == "lax" else [0, 0])
    connection.autocommit = True


def test_many_at_once_are_one_statement(db: Any) -> None:
    cursor = db.connection().cursor()
    rows = ([str(number)] for number in range(3))
    (many,) = served(lambda: cursor.executemany("INSERT INTO t (name) VALUES (%s)", rows))
    assert (many.statements, many.command, many.kind) == (3, "INSERT", "write")


def test_a_copy(db: Any, region: str) -> None:
    cursor = db.connection().cursor()
    (came,) = served(lambda: cursor.copy_from(io.StringIO("ann\nbob\n"), "t", columns=["name"]))
    (went,) = served(lambda: cursor.copy_expert("COPY t TO STDOUT", io.StringIO()))
    assert [(each.command, each.kind) for each in (came, went)] == [("COPY", "write"), ("COPY", "read")]
    assert came.round_trips == (1 if region == "lax" else 0)


def test_a_function_of_the_databases(db: Any) -> None:
    cursor = db.connection().cursor()
    (called,) = served(lambda: cursor.callproc("lower", ["ANN"]))
    assert called.sql == "SELECT * FROM lower(%s)"


def test_a_named_cursor_that_writes(db: Any, region: str) -> None:
    connection = db.connection()
    connection.autocommit = False

    def work() -> None:
        connection.cursor().execute("INSERT INTO t (name) SELECT n::text FROM generate_series(1, 5) n")
        cursor = connection.cursor("c")
        cursor.itersize = 2
        cursor.execute("SELECT name FROM t")
        assert len(cursor.fetchmany(1)) == 1
        assert len(list(cursor)) == 4
        cursor.close()
        connection.commit()

    statements = served(work)
    commands = [each.command for each in statements]
    assert commands[:2] == ["INSERT", "SELECT"]
    assert commands[-1] == "COMMIT"
    assert commands.count("FETCH") == 4
    assert {each.kind for each in statements if each.command == "FETCH"} == {"read"}
    connection.autocommit = True


def test_a_statement_that_fails(db: Any, region: str) -> None:
    db.execute_sql("INSERT INTO t (name) VALUES ('ann')")

    def work() -> None:
        with pytest.raises(psycopg2.IntegrityError):
            db.connection().cursor().execute("INSERT INTO t (name) VALUES ('ann')")

    (failed,) = served(work)
    assert (failed.error, failed.sqlstate, failed.rows) == ("UniqueViolation", "23505", -1)
    assert failed.route is (Route.PRIMARY if region == "lax" else Route.LOCAL)


def test_what_is_no_statement_fails_as_without_observers(db: Any) -> None:
    def work() -> None:
        with pytest.raises(TypeError):
            db.connection().cursor().execute(5)

    (failed,) = served(work)
    assert (failed.error, failed.sql) == ("TypeError", "?")


def test_a_users_cursor_executes_once(db: Any) -> None:
    executed = []

    class Own(ext.cursor):
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
            executed.append(query)
            super().execute(query, vars)

    cursor = db.connection().cursor(cursor_factory=Own)
    assert len(served(lambda: cursor.execute("SELECT 1"))) == 1
    assert executed == ["SELECT 1"]


def test_why_tells_in_both_regions(db: Any, region: str, regions: TwoRegions) -> None:
    db.execute_sql("SELECT 1")
    why = fly_orm.why()
    assert why is not None
    assert why.route is Route.LOCAL
    server = regions.cluster.primary if region == "syd" else regions.cluster.replica
    assert why.server == f"localhost:{server.port}"  # although they are reached over sockets in folders
    assert (why.why == "this region has the primary") == (region == "syd")


def test_each_is_one_line_of_the_log(db: Any, region: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fly_orm.statements"):
        db.execute_sql("INSERT INTO t (name) VALUES ('secret')")
        db.execute_sql("SELECT name FROM t")
    write, read = [record for record in caplog.records if record.name == "fly_orm.statements"]
    assert write.message.endswith("INSERT INTO t (name) VALUES (?)")
    assert "secret" not in str(vars(write))
    assert (write.__dict__["event"], write.__dict__["kind"], write.__dict__["rows"]) == ("statement_served", "write", 1)
    assert read.__dict__["sql"] == "SELECT name FROM t"


def test_one_that_an_interrupt_has_kept_from_ending_is_over_all_the_same(db: Any) -> None:
    """An interrupt may arrive where the block ends, and then nobody says so."""
    RunningStatement(db.database, "SELECT 'interrupted'").__enter__()
    assert not is_running()
    assert [each.sql for each in served(lambda: db.execute_sql("SELECT 'next'"))] == ["SELECT ?"]
