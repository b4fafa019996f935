"""Locks that are taken in lax keep others out everywhere, whichever transaction or function takes them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm import Route
from tests.support.side_by_side import Probe, SideBySide
from tests.support.two_regions import TwoRegions

SETUP = """
    CREATE TABLE t (id int PRIMARY KEY, name text, n int);
    INSERT INTO t VALUES (1, 'ann', 1), (2, 'bob', 2);
    CREATE FUNCTION grab(int) RETURNS bool LANGUAGE sql AS 'SELECT pg_try_advisory_lock($1)';
    CREATE FUNCTION hold(int) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock($1); END';
    CREATE FUNCTION hold_table() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOCK TABLE t IN ROW SHARE MODE; END';
    CREATE FUNCTION grab_any(text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN EXECUTE 'SELECT pg_' || $1 || '_lock(7)'; END$$;
    CREATE FUNCTION set_name(text) RETURNS void LANGUAGE sql AS $$SELECT set_config('app.name', $1, false)$$;
"""
HELD = "SELECT pg_advisory_unlock(7), pg_advisory_unlock(7)"
#: Each line is a statement.
SCENARIOS = {
    "read only": "BEGIN READ ONLY\nSELECT pg_advisory_lock(7)\nSELECT count(*) FROM t\nCOMMIT\n" + HELD,
    "read only after a read": f"BEGIN READ ONLY\nSELECT name FROM t\nSELECT pg_try_advisory_lock(7)\nCOMMIT\n{HELD}",
    "rolled back": f"BEGIN READ ONLY\nSELECT pg_advisory_lock(7)\nROLLBACK\n{HELD}",
    "one snapshot": f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY\nSELECT pg_advisory_lock(7)\nCOMMIT\n{HELD}",
    "after settings and savepoints": f"""
        START TRANSACTION READ ONLY
        SET LOCAL lock_timeout TO '5s'
        SAVEPOINT a
        SET app.name TO 'ann'
        SAVEPOINT b
        SET app.name TO 'bob'
        ROLLBACK TO b
        SELECT pg_advisory_lock(7)
        SELECT current_setting('lock_timeout'), current_setting('app.name')
        ROLLBACK TO a
        RELEASE a
        SELECT nullif(current_setting('app.name', true), '')
        SET app.name TO 'cid'
        COMMIT
        SELECT current_setting('app.name')
        {HELD}
    """,
    "after AND CHAIN": f"""
        BEGIN READ ONLY
        SET LOCAL app.name TO 'ann'
        SAVEPOINT a
        SET TIME ZONE 'Asia/Tokyo'
        SELECT set_name('bob')
        COMMIT AND CHAIN
        SET LOCAL lock_timeout TO '5s'
        SELECT pg_advisory_lock(7)
        SELECT current_setting('lock_timeout'), current_setting('app.name'), current_setting('TimeZone')
        SHOW transaction_read_only
        ROLLBACK
        SELECT current_setting('app.name'), current_setting('TimeZone')
        {HELD}
    """,
    "after ROLLBACK AND CHAIN": f"""
        SET app.name TO 'ann'
        BEGIN READ ONLY
        SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
        SET app.name TO 'bob'
        SELECT 1/0
        ROLLBACK AND CHAIN
        SELECT grab(7)
        SELECT current_setting('app.name')
        SHOW transaction_isolation
        COMMIT
        {HELD}
    """,
    "in a function": f"BEGIN READ ONLY\nSELECT grab(7)\nCOMMIT\n{HELD}",
    "in dynamic SQL": f"BEGIN READ ONLY\nSELECT grab_any('advisory')\nSELECT count(*) FROM t\nCOMMIT\n{HELD}",
    "in DO": f"BEGIN READ ONLY\nDO $$BEGIN PERFORM pg_advisory_lock_shared(7); END$$\nCOMMIT\n{HELD}",
    "in several statements": f"BEGIN READ ONLY\nSELECT 1; SELECT pg_advisory_lock(7)\nCOMMIT\n{HELD}",
    "read only by default": f"SET default_transaction_read_only TO on\nBEGIN\nSELECT grab(7)\nCOMMIT\n{HELD}",
    "in a failed transaction": f"BEGIN READ ONLY\nSELECT 1/0\nSELECT pg_advisory_lock(7)\nROLLBACK\n{HELD}",
    "prepared": "BEGIN READ ONLY\nPREPARE p AS SELECT name FROM t\nCOMMIT\nEXECUTE p",
    "by a cursor": f"BEGIN\nDECLARE c CURSOR FOR SELECT grab(7)\nFETCH c\nCOMMIT\n{HELD}",
    "by a cursor, read only": f"BEGIN READ ONLY\nDECLARE c CURSOR FOR SELECT grab(7)\nFETCH c\nCOMMIT\n{HELD}",
    "by a cursor, in dynamic SQL": f"""
        BEGIN READ ONLY
        DECLARE c CURSOR FOR SELECT grab_any('advisory')
        FETCH c
        COMMIT
        {HELD}
    """,
    "unlocked": f"SELECT pg_advisory_lock(7)\nBEGIN READ ONLY\nSELECT pg_advisory_unlock(7)\nCOMMIT\n{HELD}",
    # A session-level lock is held although its statement, or its transaction, fails.
    "statement fails": f"SELECT pg_advisory_lock(7), 1/(id - 1) FROM t\n{HELD}",
    "statement with a function fails": f"SELECT grab(7), 1/(id - 1) FROM t\n{HELD}",
    "statement with dynamic SQL fails": f"SELECT grab_any('advisory'), 1/(id - 1) FROM t\n{HELD}",
    "string fails": f"SELECT pg_advisory_lock(7); SELECT 1/0\n{HELD}",
    "DO fails": f"DO $$BEGIN PERFORM grab(7); RAISE 'no'; END$$\n{HELD}",
    "transaction fails": f"BEGIN\nSELECT pg_advisory_lock(7), 1/(id - 1) FROM t\nROLLBACK\n{HELD}",
    "savepoint fails": f"BEGIN\nSAVEPOINT a\nSELECT pg_advisory_lock(7), 1/0 FROM t\nROLLBACK TO a\nCOMMIT\n{HELD}",
    "write fails": f"INSERT INTO t SELECT 1, 'x' FROM pg_advisory_lock(7)\n{HELD}",
}


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    steps = [line.strip() for line in SCENARIOS[name].strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, steps, setup=SETUP)
    assert in_lax == on_primary


@pytest.mark.parametrize("sql", ["SELECT pg_advisory_lock(7)", "SELECT grab_any('advisory')"])
def test_is_the_same_in_a_connection_that_reads_only(beside: SideBySide, sql: str) -> None:
    def commit(probe: Probe) -> None:
        probe.connection.commit()

    on_primary, in_lax = beside.traces(
        ["SELECT name FROM t", "SAVEPOINT a", sql, "SELECT count(*) FROM t", commit, HELD],
        autocommit=False,
        prepare=lambda connection: connection.set_session(readonly=True),
        setup=SETUP,
    )
    assert in_lax == on_primary


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("sql", ["SELECT pg_advisory_lock(7)", "SELECT grab(7)", "SELECT grab_any('advisory')"])
def test_is_the_same_in_a_named_cursor(beside: SideBySide, sql: str, *, readonly: bool) -> None:
    def fetch(probe: Probe) -> Any:
        with probe.connection.cursor(name="c") as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall()
        probe.connection.commit()
        return rows

    on_primary, in_lax = beside.traces(
        ["SELECT name FROM t", fetch, HELD],
        autocommit=False,
        prepare=lambda connection: connection.set_session(readonly=readonly),
        setup=SETUP,
    )
    assert in_lax == on_primary


class TestWhileATransactionReadsOnly:
    @pytest.fixture
    def db(self, regions: TwoRegions) -> Any:
        regions.query(SETUP)
        regions.cluster.wait_for_replica()
        db = regions.lax()
        db.execute_sql("BEGIN READ ONLY")
        return db

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT pg_advisory_lock(7)",
            "SELECT pg_try_advisory_lock_shared(7)",
            "SELECT pg_advisory_xact_lock(7)",
            "SELECT pg_try_advisory_xact_lock_shared(7)",
            "SELECT grab(7)",
            "SELECT hold(7)",
            "SELECT grab_any('advisory')",
            "SELECT grab_any('advisory_xact')",
            "DO $$BEGIN PERFORM pg_advisory_xact_lock(7); END$$",
        ],
    )
    def test_its_locks_keep_others_out(self, regions: TwoRegions, db: Any, sql: str) -> None:
        db.execute_sql(sql)
        assert regions.query("SELECT pg_try_advisory_lock(7)") is False

    @pytest.mark.parametrize("sql", ["LOCK TABLE t IN ROW SHARE MODE", "SELECT hold_table()"])
    def test_its_table_locks_do(self, regions: TwoRegions, db: Any, sql: str) -> None:
        db.execute_sql(sql)
        taken = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowShareLock'"
        assert regions.query(taken) == 1

    def test_others_go_on_reading_on_the_replica(self, db: Any) -> None:
        for sql in ("SELECT name FROM t", "SET LOCAL lock_timeout TO '5s'", "SELECT set_name('x')"):
            db.execute_sql(sql)
            served = fly_orm.why()
            assert served is not None
            assert served.route is Route.LOCAL

    @pytest.mark.parametrize("before", ["SELECT set_name('x')", "DECLARE c CURSOR FOR SELECT 1", "RESET app.name"])
    def test_one_that_cannot_move_says_so_and_goes_on(self, regions: TwoRegions, db: Any, before: str) -> None:
        db.execute_sql(before)
        with pytest.raises(fly_orm.NotSupported, match="before the transaction"):
            db.execute_sql("SELECT pg_advisory_lock(7)")
        assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)
        assert regions.query("SELECT pg_try_advisory_lock(7)") is True

    def test_a_snapshot_that_was_read_cannot_move(self, db: Any) -> None:
        for sql in ("COMMIT", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT name FROM t"):
            db.execute_sql(sql)
        with pytest.raises(fly_orm.NotSupported, match="snapshot"):
            db.execute_sql("SELECT grab_any('advisory')")
        db.execute_sql("ROLLBACK")
        with db.connection().cursor(cursor_factory=ext.cursor) as here:
            here.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            assert here.fetchone() == (0,)

    def test_executemany_is_kept_track_of(self, db: Any) -> None:
        db.connection().cursor().executemany("SELECT set_name(%s)", [("ann",), ("bob",)])
        with pytest.raises(fly_orm.NotSupported, match="Take the lock"):
            db.execute_sql("SELECT pg_advisory_lock(7)")


class TestOtherWaysToExecute:
    @pytest.fixture
    def db(self, regions: TwoRegions) -> Any:
        regions.query(SETUP)
        regions.cluster.wait_for_replica()
        return regions.lax()

    def test_executemany_takes_them_on_the_primary(self, regions: TwoRegions, db: Any) -> None:
        db.connection().cursor().executemany("SELECT grab_any(%s)", [("advisory",)])
        assert regions.query("SELECT pg_try_advisory_lock(7)") is False

    def test_copy_takes_them_on_the_primary(self, db: Any) -> None:
        for sql in ("SELECT pg_advisory_lock(7)", "SELECT grab(7)"):
            db.connection().cursor().copy_expert(f"COPY ({sql}) TO STDOUT", io.StringIO())
            assert db.execute_sql(HELD).fetchone() == (True, False)

    def test_atomic_takes_them_on_the_primary(self, regions: TwoRegions, db: Any) -> None:
        with db.atomic("READ COMMITTED READ ONLY"), db.atomic():
            assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)
            with db.atomic():
                db.execute_sql("SELECT pg_advisory_xact_lock(7)")
            assert regions.query("SELECT pg_try_advisory_lock(7)") is False
        assert regions.query("SELECT pg_try_advisory_lock(7)") is True

    def test_copy_says_that_it_took_them_on_the_replica(self, db: Any) -> None:
        cursor = db.connection().cursor()
        with pytest.raises(fly_orm.NotSupported, match="COPY"):
            cursor.copy_expert("COPY (SELECT grab_any('advisory')) TO STDOUT", io.StringIO())
        with fly_orm.primary():
            cursor.copy_expert("COPY (SELECT grab_any('advisory')) TO STDOUT", io.StringIO())
        assert db.execute_sql(HELD).fetchone() == (True, False)

    def test_deferred_reads_take_them_in_their_transaction(self, regions: TwoRegions, db: Any) -> None:
        connection = db.connection()
        connection.autocommit, connection.defers_transactions = False, True
        db.execute_sql("SELECT hold(7)")
        assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_INTRANS
        assert regions.query("SELECT pg_try_advisory_lock(7)") is False
        connection.rollback()
