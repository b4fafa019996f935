"""A READ ONLY transaction executes in lax whatever Postgres allows in one, although no replica may."""

from __future__ import annotations

import io
from typing import Any

import pytest

import fly_orm
from fly_orm import Route
from tests.support.side_by_side import SETUP as ONE_SERVER
from tests.support.side_by_side import Probe, SideBySide
from tests.support.two_regions import TwoRegions

SETUP = (
    ONE_SERVER
    + """
    CREATE FUNCTION tell(text) RETURNS text LANGUAGE plpgsql AS
        $$BEGIN IF $1 <> '' THEN PERFORM pg_notify('heard', $1); END IF; RETURN $1; END$$;
    CREATE FUNCTION tell_all() RETURNS void LANGUAGE sql AS 'NOTIFY heard';
    CREATE FUNCTION analyze_any(name text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN EXECUTE 'ANALYZE ' || quote_ident(name); END$$;
"""
)
#: What a replica refuses, and a READ ONLY transaction on a primary does not.
ALLOWED = [
    "NOTIFY heard, 'it'",
    "SELECT pg_notify('heard', 'it')",
    "SELECT txid_current() > 0, pg_current_xact_id() IS NOT NULL",
    "SELECT pg_current_wal_lsn() IS NOT NULL, pg_current_wal_insert_lsn() IS NOT NULL",
    "SELECT pg_walfile_name('0/1') IS NOT NULL",
    "SELECT pg_logical_emit_message(false, 'it', 'was said') IS NOT NULL",
    "ANALYZE t",
    "REINDEX TABLE t",
    "CLUSTER t USING t_pkey",
    "VACUUM t",  # not in a transaction, as the primary says
    "SELECT 1; NOTIFY heard",
    "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT pg_notify('heard', 'it')",
    "DO $$BEGIN PERFORM pg_notify('heard', 'it'); END$$",
    "DO $$BEGIN NOTIFY heard; END$$",
    "SELECT tell('it')",
    "SELECT tell_all()",
    "SELECT analyze_any('t')",
    "SELECT count(*) FROM pg_notify('heard', 'it')",
]


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize(
    "before",
    [
        ["BEGIN READ ONLY"],
        ["BEGIN READ ONLY", "SELECT name FROM t ORDER BY id", "SET LOCAL app.name TO 'ann'", "SAVEPOINT a"],
        ["START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"],
    ],
)
def test_executes_what_postgres_allows(beside: SideBySide, mode: str, before: list[str]) -> None:
    if "REPEATABLE" in before[0]:
        allowed = [sql for sql in ALLOWED if not sql.startswith(("DO", "SELECT tell", "SELECT analyze"))]
    else:
        allowed = ALLOWED
    steps = [
        step
        for sql in allowed
        for step in (
            *before,
            sql,
            "SELECT count(*), current_setting('app.name', true) FROM t",
            "INSERT INTO t (name) VALUES ('refused')",
            "ROLLBACK",
        )
    ]
    on_primary, in_lax = beside.in_mode(mode, steps, setup=SETUP)
    assert in_lax == on_primary


@pytest.mark.parametrize("deferring", [False, True])
def test_executes_it_in_a_connection_that_reads_only(beside: SideBySide, *, deferring: bool) -> None:
    def prepare(connection: Any) -> None:
        connection.set_session(readonly=True)
        if hasattr(connection, "defers_transactions"):
            connection.defers_transactions = deferring

    def commit(probe: Probe) -> None:
        probe.connection.commit()

    def executemany(probe: Probe) -> None:
        probe.connection.cursor().executemany("SELECT pg_notify('heard', %s)", [("it",), ("too",)])

    def copy(probe: Probe) -> str:
        file = io.StringIO()
        probe.connection.cursor().copy_expert("COPY (SELECT pg_notify('heard', 'it')) TO STDOUT", file)
        return file.getvalue()

    def fetch(probe: Probe) -> Any:
        with probe.connection.cursor(name="c") as cursor:
            cursor.execute("SELECT pg_current_xact_id() IS NOT NULL")
            return cursor.fetchall()

    ways = [*(step for step in ALLOWED if not step.startswith("VACUUM")), executemany, copy, fetch]
    steps = [step for way in ways for step in ("SELECT name FROM t ORDER BY id", way, "SELECT count(*) FROM t", commit)]
    on_primary, in_lax = beside.traces(steps, autocommit=False, prepare=prepare, setup=SETUP)
    assert in_lax == on_primary


#: Statements at the beginning of a transaction after which it may write, or is to be SERIALIZABLE.
LEAVING = {
    "read write": ["SET TRANSACTION READ WRITE"],
    "by its setting": ["SET transaction_read_only TO off"],
    "by a local setting": ["SET LOCAL transaction_read_only = 'off'"],
    "with a level": ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE"],
    "serializable": ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ WRITE"],
    "with its first statement": ["SET TRANSACTION READ WRITE; INSERT INTO t (name) VALUES ('first')"],
    "after settings": ["SET LOCAL app.name TO 'ann'", "SAVEPOINT a", "RELEASE a", "SET TRANSACTION READ WRITE"],
    "after a query": ["SELECT name FROM t ORDER BY id", "SET TRANSACTION READ WRITE"],
    "after a query, in a savepoint": ["SELECT name FROM t ORDER BY id", "SAVEPOINT a", "SET TRANSACTION READ WRITE"],
    "in a savepoint": ["SAVEPOINT a", "SET TRANSACTION READ WRITE", "ROLLBACK TO a", "SET TRANSACTION READ WRITE"],
    "by a function": ["SELECT set_config('transaction_read_only', 'off', true)"],
    "not at all": ["SET TRANSACTION READ SOMETIMES"],
}
WRITING = ["INSERT INTO t (name) VALUES ('joe')", "SHOW transaction_read_only", "SHOW transaction_isolation"]


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"])
@pytest.mark.parametrize("name", LEAVING)
def test_becomes_read_write(beside: SideBySide, name: str, begin: str, mode: str) -> None:
    shown = "SELECT name, current_setting('app.name', true) FROM t ORDER BY id"
    on_primary, in_lax = beside.in_mode(mode, [begin, *LEAVING[name], *WRITING, shown, "COMMIT", shown], setup=SETUP)
    assert in_lax == on_primary


@pytest.mark.parametrize("name", LEAVING)
def test_becomes_read_write_in_a_connection_that_reads_only(beside: SideBySide, name: str) -> None:
    def commit(probe: Probe) -> None:
        probe.connection.commit()

    def prepare(connection: Any) -> None:
        connection.set_session(readonly=True)

    steps = [*LEAVING[name], *WRITING, commit, "SELECT name FROM t ORDER BY id", *WRITING]
    on_primary, in_lax = beside.traces(steps, autocommit=False, prepare=prepare, setup=SETUP)
    assert in_lax == on_primary


def test_a_function_that_tells_nobody_runs_where_one_snapshot_was_read(beside: SideBySide) -> None:
    steps = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT name FROM t", "SELECT tell('')", "COMMIT"]
    on_primary, in_lax = beside.traces(steps, setup=SETUP)
    assert in_lax == on_primary


def test_one_that_has_read_a_snapshot_says_that_it_cannot_go_on(regions: TwoRegions) -> None:
    regions.query(SETUP)
    regions.cluster.wait_for_replica()
    db = regions.lax()
    for sql in ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT name FROM t"):
        db.execute_sql(sql)
    with pytest.raises(fly_orm.NotSupported, match="NOTIFY fail"):
        db.execute_sql("NOTIFY heard")


def test_stays_on_the_replica_as_long_as_it_can(regions: TwoRegions) -> None:
    regions.query(SETUP)
    regions.cluster.wait_for_replica()
    db = regions.lax()
    routes = []
    for sql in ("BEGIN READ ONLY", "SELECT name FROM t", "SELECT tell(null)", "NOTIFY heard", "SELECT 1"):
        db.execute_sql(sql)
        served = fly_orm.why()
        assert served is not None
        routes.append(served.route)
    assert routes == [Route.LOCAL, Route.LOCAL, Route.PRIMARY, Route.PRIMARY, Route.PRIMARY]
