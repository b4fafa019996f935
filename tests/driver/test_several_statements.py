"""Several statements in one text that end a transaction, or are about its savepoints and cursors."""

from typing import Any

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import Route
from tests.support.one_table import deferring, one_table
from tests.support.two_regions import TwoRegions, trips

WRITE = "INSERT INTO t (name) VALUES ('second')"
COUNT = "SELECT count(*) FROM t"


@pytest.fixture
def connection(regions: TwoRegions) -> Any:
    """One in lax that defers its transactions."""
    return deferring(one_table(regions).connection())


def run(connection: Any, *statements: str) -> tuple[str, list[Any] | None]:
    """What the last statement returns: its tag, and its rows."""
    for sql in statements:
        cursor = connection.cursor()
        cursor.execute(sql)
    return cursor.statusmessage, cursor.fetchall() if cursor.description else None


def failed(connection: Any) -> bool:
    return bool(connection.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR)


def cursor(connection: Any, name: str, rows: int = 3, **options: Any) -> Any:
    """A named cursor that was declared on the replica."""
    made = connection.cursor(name, **options)
    made.execute(f"SELECT generate_series(1, {rows})")
    assert fly_orm.why().route is Route.LOCAL  # type: ignore[union-attr]
    return made


class TestAfterAReadHasFailedOnTheReplica:
    @pytest.fixture(autouse=True)
    def _fail(self, connection: Any) -> None:
        run(connection, "SAVEPOINT a")
        with pytest.raises(errors.DivisionByZero):
            run(connection, "SELECT 1/0")

    @pytest.mark.parametrize("sql", [f"ROLLBACK; {COUNT}", f"COMMIT; {COUNT}", f"ROLLBACK TO a; {COUNT}"])
    def test_a_text_may_end_or_undo_the_failure(self, connection: Any, sql: str) -> None:
        assert run(connection, sql) == ("SELECT 1", [(1,)])
        assert not failed(connection)

    @pytest.mark.parametrize("sql", [f"{COUNT}; ROLLBACK", f"{WRITE}; COMMIT", "SAVEPOINT b; ROLLBACK"])
    def test_nothing_else_in_it_is_executed_before(self, connection: Any, sql: str) -> None:
        with pytest.raises(errors.InFailedSqlTransaction):
            run(connection, sql)
        assert failed(connection)
        connection.rollback()
        assert run(connection, COUNT)[1] == [(1,)]

    @pytest.mark.parametrize("sql", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "COMMIT AND NO CHAIN"])
    def test_every_commit_is_a_rollback(self, connection: Any, sql: str) -> None:
        assert run(connection, sql)[0] == "ROLLBACK"
        run(connection, WRITE)
        connection.rollback()
        assert run(connection, COUNT)[1] == [(1 if sql.endswith("AND CHAIN") else 2,)]


class TestSavepointsOfATextOfWhichAPartRan:
    """Whether deferred or not, a savepoint command is only delayed while it is certain to succeed."""

    @pytest.mark.parametrize("text", ["ROLLBACK TO a; SELECT 1", "ROLLBACK TO a; SELECT 1/0", "RELEASE a; SELECT 1"])
    def test_those_that_are_gone_are_refused_at_once(self, connection: Any, text: str) -> None:
        run(connection, "SAVEPOINT o", "SAVEPOINT a", "SAVEPOINT b")
        if "1/0" in text:
            with pytest.raises(errors.DivisionByZero):
                run(connection, text)
        else:
            run(connection, text)
        with pytest.raises(errors.InvalidSavepointSpecification):
            run(connection, "ROLLBACK TO b")
        run(connection, "ROLLBACK TO o")
        assert not failed(connection)

    def test_those_that_it_made_are_there(self, connection: Any) -> None:
        run(connection, f"SAVEPOINT a; {WRITE}; SAVEPOINT b", "ROLLBACK TO a", "RELEASE a")
        connection.commit()
        assert run(connection, COUNT)[1] == [(1,)]


class TestACursorThatTheReplicaHas:
    @pytest.mark.parametrize("sql", ["SELECT 1; COMMIT", "COMMIT; SELECT 1", "ROLLBACK; BEGIN", "COMMIT AND CHAIN"])
    def test_ends_with_its_transaction(self, connection: Any, sql: str) -> None:
        each = cursor(connection, "c")
        run(connection, sql)
        with pytest.raises(errors.InvalidCursorName):
            each.fetchone()
        connection.rollback()
        assert run(connection, "SELECT name FROM pg_cursors")[1] == []

    def test_outlives_a_commit_in_a_text_if_it_was_to(self, connection: Any) -> None:
        for sql, lives in ("SELECT 1; COMMIT", True), ("ROLLBACK; SELECT 1", False), (f"{WRITE}; ROLLBACK", False):
            each = cursor(connection, "c", withhold=True)
            run(connection, sql)
            if lives:
                assert each.fetchone() == (1,)
                each.close()
            else:
                with pytest.raises(errors.InvalidCursorName):
                    each.fetchone()
            connection.rollback()

    def test_ends_if_the_commit_fails(self, regions: TwoRegions, connection: Any) -> None:
        regions.query("ALTER TABLE t ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED, DROP CONSTRAINT t_name_key")
        regions.cluster.wait_for_replica()
        for end in connection.commit, lambda: run(connection, "COMMIT"):
            each = cursor(connection, "c", withhold=True)
            run(connection, "INSERT INTO t (name) VALUES ('first')")
            with pytest.raises(errors.UniqueViolation):
                end()
            connection.rollback()
            with pytest.raises(errors.InvalidCursorName):
                each.fetchone()

    def test_goes_on_after_a_text_that_failed_and_was_undone(self, connection: Any) -> None:
        each = cursor(connection, "c")
        run(connection, "SAVEPOINT a")
        with pytest.raises(errors.DivisionByZero):
            run(connection, "SELECT 1/0; COMMIT")
        with pytest.raises(errors.InFailedSqlTransaction):
            each.fetchone()
        run(connection, "ROLLBACK TO a")
        assert each.fetchone() == (1,)

    def test_keeps_its_name_when_the_transaction_moves_to_the_primary(self, connection: Any) -> None:
        for declare in (
            lambda: connection.cursor("c").execute("SELECT 2"),
            lambda: run(connection, "DECLARE C CURSOR FOR SELECT 2"),
            lambda: connection.cursor("c", withhold=True).execute("SELECT 2"),
        ):
            cursor(connection, "c")
            run(connection, WRITE, "SAVEPOINT a")
            with pytest.raises(errors.DuplicateCursor):
                declare()
            assert failed(connection)
            run(connection, "ROLLBACK TO a")
            run(connection, "CLOSE c")
            declare()
            connection.rollback()

    def test_is_known_to_sql_by_its_name(self, regions: TwoRegions, connection: Any) -> None:
        each = cursor(connection, "Some rows", 9)

        def work() -> None:
            assert run(connection, 'FETCH 2 FROM "Some rows"') == ("FETCH 2", [(1,), (2,)])

        assert trips(regions, work) == 0
        run(connection, WRITE)
        assert run(connection, 'MOVE 1 IN "Some rows"') == ("MOVE 1", None)
        assert each.fetchone() == (4,)
        run(connection, 'CLOSE "Some rows"', "SAVEPOINT a")
        with pytest.raises(errors.InvalidCursorName):
            each.fetchone()
        run(connection, "ROLLBACK TO a")
        cursor_of_primary = connection.cursor("later")
        cursor_of_primary.execute(COUNT)
        run(connection, "CLOSE ALL")
        with pytest.raises(errors.InvalidCursorName):
            cursor_of_primary.fetchone()

    def test_fails_the_transaction_with_what_sql_asks_of_it(self, connection: Any) -> None:
        connection.cursor("c", scrollable=False).execute("SELECT 1")
        run(connection, "SAVEPOINT a")
        with pytest.raises(psycopg2.Error):
            run(connection, "FETCH BACKWARD 1 FROM c")
        with pytest.raises(errors.InFailedSqlTransaction):
            run(connection, "FETCH 1 FROM c")

    def test_is_a_transaction_whose_modes_cannot_change(self, connection: Any) -> None:
        """As psycopg2 has begun it, with the statement that declares the cursor."""
        cursor(connection, "c")
        assert connection.status == ext.STATUS_BEGIN
        with pytest.raises(psycopg2.ProgrammingError, match="inside a transaction"):
            connection.autocommit = True
        connection.commit()
        assert connection.status == ext.STATUS_READY
        connection.autocommit = True


def test_modes_are_set_as_psycopg2_sets_them(regions: TwoRegions, connection: Any) -> None:
    """In autocommit, what is asked for is set, even if the connection has not changed it before."""
    plain = regions.cluster.primary.connect(regions.name)
    plain.autocommit = False
    names = "default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"
    for modes in (
        {"isolation_level": "SERIALIZABLE", "deferrable": True},
        {"autocommit": True},
        {"isolation_level": "REPEATABLE READ"},
        {"readonly": "default"},
        {"readonly": False, "deferrable": "default"},
        {"autocommit": False},
        {"autocommit": True, "isolation_level": "default"},
    ):
        seen = []
        for each in plain, connection:
            for name, value in zip(names, ("'repeatable read'", "on", "on"), strict=True):
                run(each, f"SET {name} TO {value}")
            each.commit()
            each.set_session(**modes)
            seen.append([run(each, f"SHOW {name}")[1] for name in names])
            each.rollback()
        assert seen[0] == seen[1], modes
    plain.close()
