"""Transactions that begin with the first statement that needs the primary, as Pony's do: where their reads run."""

import io
from functools import partial
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import Route
from tests.support.one_table import deferring, one_table
from tests.support.two_regions import TwoRegions, trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")

COUNT = "SELECT count(*) FROM t"


@pytest.fixture
def connection(regions: TwoRegions) -> Any:
    return deferring(one_table(regions).connection())


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


def test_read_uncommitted_is_not_deferred_since_it_would_show_another_level(connection: Any) -> None:
    connection.set_session(isolation_level=ext.ISOLATION_LEVEL_READ_UNCOMMITTED)
    assert shown(connection, "SHOW transaction_isolation") == "read uncommitted"
    assert fly_orm.why().route is Route.PRIMARY  # type: ignore[union-attr]


def test_one_that_is_read_only_is_one_on_the_replica(regions: TwoRegions, connection: Any) -> None:
    connection.set_session(readonly=True)

    def work() -> None:
        assert shown(connection, "SHOW transaction_read_only") == "on"
        assert shown(connection, "SELECT now()") == shown(connection, "SELECT now()")
        connection.commit()

    assert trips(regions, work) == 0


def shown(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def run(connection: Any, *statements: str) -> None:
    for sql in statements:
        connection.cursor().execute(sql)


def rows_of_a_named_cursor(connection: Any) -> None:
    with connection.cursor("named") as cursor:
        cursor.itersize = 20
        cursor.execute("SELECT generate_series(1, 100)")
        assert len(list(cursor)) == 100


READ, WRITE = "SELECT name FROM t", "INSERT INTO t (name) VALUES ('next')"


@pytest.mark.parametrize(
    ("expected", "strict", "work"),
    [
        pytest.param(0, 4, lambda c: [run(c, READ, READ, READ), c.commit()], id="reads"),
        pytest.param(2, 5, lambda c: [run(c, READ, READ, READ, WRITE), c.commit()], id="reads, a write"),
        pytest.param(2, 2, lambda c: [run(c, WRITE), c.commit()], id="a write"),
        pytest.param(
            0, 3, lambda c: [run(c, "SAVEPOINT a", READ, "RELEASE a", READ), c.commit()], id="a savepoint, reads"
        ),
        pytest.param(
            2,
            3,
            lambda c: [run(c, "SAVEPOINT a", READ, "RELEASE a", WRITE), c.commit()],
            id="a savepoint, a read, a write",
        ),
        pytest.param(2, 2, lambda c: [run(c, f"{READ} FOR UPDATE"), c.commit()], id="FOR UPDATE"),
        pytest.param(2, 3, lambda c: [run(c, READ, f"{READ} FOR UPDATE"), c.commit()], id="a read, FOR UPDATE"),
        pytest.param(0, 9, lambda c: [rows_of_a_named_cursor(c), c.commit()], id="a named cursor"),
        pytest.param(
            10, 10, lambda c: [run(c, WRITE), rows_of_a_named_cursor(c), c.commit()], id="a write, a named cursor"
        ),
        pytest.param(0, 0, lambda c: c.commit(), id="nothing"),
        pytest.param(0, 2, lambda c: [run(c, READ), c.rollback()], id="a read, a rollback"),
    ],
)
def test_round_trips(regions: TwoRegions, connection: Any, expected: int, strict: int, work: Any) -> None:
    assert trips(regions, lambda: work(connection)) == expected
    connection.defers_transactions = False
    regions.query("DELETE FROM t WHERE name = 'next'")
    assert trips(regions, lambda: work(connection)) == strict


def test_one_that_a_begin_begins_is_deferred_too(regions: TwoRegions, connection: Any) -> None:
    connection.autocommit = True
    reads = [READ, "SAVEPOINT a", READ, "ROLLBACK TO a"]
    assert trips(regions, lambda: run(connection, "BEGIN", *reads, "COMMIT")) == 0
    assert trips(regions, lambda: run(connection, "BEGIN", *reads, WRITE, READ, "COMMIT")) == 3
    for level in "REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED":
        begin = f"BEGIN ISOLATION LEVEL {level}"
        assert trips(regions, partial(run, connection, begin, READ, "COMMIT")) == 2
    assert trips(regions, lambda: run(connection, "BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", READ)) == 2


def test_it_may_be_switched_at_any_time(regions: TwoRegions, connection: Any) -> None:
    assert count(connection) == (1, Route.LOCAL)
    connection.defers_transactions = False
    assert count(connection) == (1, Route.PRIMARY)
    connection.defers_transactions = True
    assert count(connection) == (1, Route.PRIMARY)  # it has begun
    connection.commit()
    assert count(connection) == (1, Route.LOCAL)
    connection.defers_transactions = False
    connection.reset()
    assert not connection.defers_transactions  # as it was made
    with fly_orm.primary():
        connection.defers_transactions = True
        assert count(connection) == (1, Route.PRIMARY)


class TestAReadThatFails:
    def test_fails_the_transaction_until_it_is_rolled_back(self, regions: TwoRegions, connection: Any) -> None:
        def work() -> None:
            for sql in "SELECT 1/0", READ, WRITE, "SAVEPOINT a":
                with pytest.raises((errors.DivisionByZero, errors.InFailedSqlTransaction)) as caught:
                    run(connection, sql)
                assert (caught.type.__name__ == "DivisionByZero") == (sql == "SELECT 1/0")
                assert caught.value.pgcode == caught.value.diag.sqlstate
                assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR
            connection.rollback()

        assert trips(regions, work) == 0
        assert count(connection) == (1, Route.LOCAL)

    def test_makes_a_commit_a_rollback(self, connection: Any) -> None:
        with pytest.raises(errors.UndefinedColumn):
            run(connection, "SELECT nope FROM t")
        with connection.cursor() as cursor:
            cursor.execute("COMMIT")
            assert cursor.statusmessage == "ROLLBACK"

    def test_leaves_the_transaction_good_if_it_never_reached_the_server(self, connection: Any) -> None:
        with pytest.raises(psycopg2.ProgrammingError, match="empty"):
            run(connection, "")
        assert count(connection) == (1, Route.LOCAL)

    @pytest.mark.parametrize("read", [READ, "SELECT count(*) FROM t"])
    def test_may_be_undone_by_a_savepoint(self, regions: TwoRegions, connection: Any, read: str) -> None:
        run(connection, read, "SAVEPOINT a", "SAVEPOINT b")
        with pytest.raises(errors.DivisionByZero):
            run(connection, "SELECT 1/0")
        run(connection, "ROLLBACK TO a", read, WRITE)
        with pytest.raises(errors.InvalidSavepointSpecification):
            run(connection, "RELEASE b")
        run(connection, "ROLLBACK TO a", "RELEASE a", "INSERT INTO t (name) VALUES ('second')")
        connection.commit()
        assert count(connection) == (2, Route.LOCAL)

    def test_of_many_rows_counts_as_one(self, connection: Any) -> None:
        with connection.cursor() as cursor, pytest.raises(errors.DivisionByZero):
            cursor.executemany("SELECT 1/%s", [(1,), (0,)])
        with pytest.raises(errors.InFailedSqlTransaction):
            run(connection, READ)

    def test_is_a_copy_too(self, connection: Any) -> None:
        with connection.cursor() as cursor, pytest.raises(errors.DivisionByZero):
            cursor.copy_expert("COPY (SELECT 1/(5 - n) FROM generate_series(1, 9) n) TO STDOUT", io.StringIO())
        with pytest.raises(errors.InFailedSqlTransaction):
            run(connection, READ)


class TestANamedCursor:
    def test_reads_on_the_replica_and_ends_with_the_transaction(self, connection: Any) -> None:
        for end in connection.commit, connection.rollback:
            cursor = connection.cursor("named")
            cursor.execute("SELECT name FROM t")
            assert fly_orm.why().route is Route.LOCAL  # type: ignore[union-attr]
            assert cursor.fetchall() == [("first",)]
            assert not cursor.withhold
            end()
            with pytest.raises(psycopg2.ProgrammingError, match="isn't valid anymore"):
                cursor.fetchone()
            assert shown(connection, "SELECT count(*) FROM pg_cursors") == 0

    def test_goes_on_when_the_transaction_moves_to_the_primary(self, connection: Any) -> None:
        cursor = connection.cursor("named")
        cursor.execute("SELECT generate_series(1, 3)")
        assert cursor.fetchone() == (1,)
        run(connection, WRITE)
        assert cursor.fetchone() == (2,)
        later = connection.cursor("later")
        later.execute("SELECT count(*) FROM t")
        assert later.fetchone() == (2,)
        connection.commit()
        for each in cursor, later:
            with pytest.raises(psycopg2.ProgrammingError, match="isn't valid anymore"):
                each.fetchone()

    def test_ends_with_the_savepoint_that_it_was_declared_in(self, connection: Any) -> None:
        run(connection, "SAVEPOINT a", "SAVEPOINT b")
        kept, undone = connection.cursor("kept"), connection.cursor("undone")
        kept.execute("SELECT 1")
        run(connection, "RELEASE b", "SAVEPOINT b")
        undone.execute("SELECT 2")
        run(connection, "ROLLBACK TO b")
        assert kept.fetchone() == (1,)
        with pytest.raises(errors.InvalidCursorName):
            undone.fetchone()
        with pytest.raises(errors.InFailedSqlTransaction):
            run(connection, READ)
        run(connection, "ROLLBACK TO a")
        with pytest.raises(errors.InvalidCursorName):
            kept.fetchone()

    def test_outlives_a_commit_if_it_was_to(self, connection: Any) -> None:
        cursor = connection.cursor("named", withhold=True)
        cursor.execute("SELECT generate_series(1, 3)")
        connection.commit()
        assert cursor.fetchone() == (1,)
        assert not connection.remote.has_state
        cursor.close()

    def test_that_nobody_refers_to_is_closed_all_the_same(self, connection: Any) -> None:
        connection.cursor("named").execute("SELECT 1")
        connection.commit()
        assert shown(connection, "SELECT count(*) FROM pg_cursors") == 0

    def test_whose_query_writes_is_declared_on_the_primary(self, regions: TwoRegions, connection: Any) -> None:
        regions.query("CREATE FUNCTION add() RETURNS int LANGUAGE sql AS 'INSERT INTO t DEFAULT VALUES RETURNING id'")
        regions.cluster.wait_for_replica()
        with connection.cursor("named") as cursor:
            cursor.execute("SELECT add()")
            assert cursor.fetchone() == (2,)
        assert count(connection) == (2, Route.PRIMARY)


class TestWhatLastsUntilTheTransactionEnds:
    def test_a_setting_that_a_function_makes(self, regions: TwoRegions, connection: Any) -> None:
        """Such as a tenant, whose rows would be missing otherwise."""
        for name, body in {
            "by_call": "PERFORM set_config('app.tenant', 'a', true)",
            "by_set": "SET LOCAL app.tenant TO 'a'",
            "by_call_of_nothing_customized": "PERFORM set_config('search_path', 'a', true)",
        }.items():
            regions.query(f"CREATE FUNCTION {name}() RETURNS void LANGUAGE plpgsql AS $$BEGIN {body}; END$$")
        regions.cluster.wait_for_replica()
        for function, setting, value in (
            ("by_call", "app.tenant", "a"),
            ("by_set", "app.tenant", "a"),
            ("by_call_of_nothing_customized", "search_path", "a"),
        ):
            run(connection, f"SELECT {function}()")
            assert shown(connection, f"SELECT current_setting('{setting}')") == value
            connection.rollback()
            assert shown(connection, f"SELECT current_setting('{setting}', true)") != value

    def test_a_setting_of_its_own(self, connection: Any) -> None:
        for sql in "SET LOCAL app.tenant TO 'a'", "SELECT set_config('app.tenant', 'a', true)":
            run(connection, sql)
            assert shown(connection, "SELECT current_setting('app.tenant')") == "a"
            connection.rollback()

    def test_a_cursor_that_a_function_returns(self, regions: TwoRegions, connection: Any) -> None:
        regions.query(
            "CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql AS "
            "$$DECLARE c refcursor := 'c'; BEGIN OPEN c FOR SELECT 7; RETURN c; END$$"
        )
        regions.cluster.wait_for_replica()
        assert shown(connection, "SELECT opened()") == "c"
        assert connection.cursor("c").fetchone() == (7,)

    def test_and_nothing_of_other_functions(self, regions: TwoRegions, connection: Any) -> None:
        regions.query("CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t'")
        regions.cluster.wait_for_replica()
        assert trips(regions, lambda: run(connection, "SELECT counted()")) == 0


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
