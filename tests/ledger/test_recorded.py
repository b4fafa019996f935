"""What is recorded behaves as it does without a ledger."""

import io
from contextlib import nullcontext
from typing import Any

import msgspec
import psycopg2
import pytest

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.postgres.primary_connection import PrimaryConnection
from fly_orm.serving.executor import Executor
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")
INSERT = "INSERT INTO t (name) VALUES (%s) RETURNING id"


def names(regions: TwoRegions) -> list[str]:
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM t"))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (nmae) VALUES ('x')",
        "INSERT INTO t (name) VALUES ('taken')",
        "INSERT INTO t (name)\n\nVALUES (1/0)",
        "INSRT",
        "INSERT INTO late (id) VALUES (7)",
        "INSERT INTO t (name) VALUES ('also taken'); INSERT INTO t (name) VALUES ('taken')",
        "LOCK TABLE nothing",
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING HINT = 'none'; END $$",
    ],
)
def test_errors_are_the_same(regions: TwoRegions, db: Any, sql: str) -> None:
    regions.query("INSERT INTO t (name) VALUES ('taken')")
    regions.query("CREATE TABLE late (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    regions.cluster.wait_for_replica()
    seen = [error_of(regions.lax(), sql), error_of(db, sql)]
    assert seen[0] == seen[1]
    assert names(regions) == ["taken"]
    db.execute_sql(INSERT, ("next",))


def error_of(db: Any, sql: str) -> Any:
    with db.connection().cursor() as cursor, pytest.raises(psycopg2.Error) as raised:
        cursor.execute(sql)
    error = raised.value
    diagnostics = {name: getattr(error.diag, name) for name in dir(error.diag) if name.startswith(("mess", "stat"))}
    return type(error).__name__, error.pgcode, error.pgerror, str(error), diagnostics


def test_what_precedes_a_failed_row_is_kept(regions: TwoRegions, db: Any) -> None:
    cursor = db.connection().cursor()
    with pytest.raises(psycopg2.errors.UniqueViolation):
        cursor.executemany("INSERT INTO t (name) VALUES (%s)", [("a",), ("b",), ("a",), ("c",)])
    assert names(regions) == ["a", "b"]
    assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (2,)


@pytest.mark.parametrize("sql", ["VACUUM t", "CREATE INDEX CONCURRENTLY ON t (name)", "CALL commits()"])
def test_what_cannot_run_in_a_transaction_runs_without_a_row(regions: TwoRegions, db: Any, sql: str) -> None:
    regions.query(
        "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (9, 'x'); COMMIT; END $$"
    )
    regions.cluster.wait_for_replica()
    db.execute_sql(INSERT, ("first",))
    rows = regions.query("SELECT count(*) FROM fly_orm_ledger")
    db.execute_sql(sql)
    assert regions.query("SELECT count(*) FROM fly_orm_ledger") == rows
    assert names(regions) == (["first", "x"] if "CALL" in sql else ["first"])


@pytest.mark.parametrize("in_transaction", [False, True])
def test_the_session_is_cleaned_in_the_string_that_commits(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch, in_transaction: bool
) -> None:
    """Otherwise, the connection would have to be handed to the thread that cleans."""
    clean, cleaned = PrimaryConnection.clean, []
    monkeypatch.setattr(PrimaryConnection, "clean", lambda each: cleaned.append(each) or clean(each))
    with db.atomic() if in_transaction else nullcontext():
        db.execute_sql(INSERT, ("a",))
    pool = next(iter(regions.serving._executor.pools.values()))
    until(lambda: pool._pool.idle == pool._pool.size)
    assert not cleaned
    assert names(regions) == ["a"]


def test_a_session_with_state_keeps_it(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("CREATE TEMP TABLE mine (a int)")
    db.execute_sql("INSERT INTO mine VALUES (1)")
    db.execute_sql("VACUUM t")
    db.execute_sql(INSERT, ("x",))
    assert db.execute_sql("SELECT a FROM mine").fetchall() == [(1,)]


def test_several_statements_may_begin_or_end_transactions(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("INSERT INTO t (name) VALUES ('a'); COMMIT")
    db.execute_sql("BEGIN; INSERT INTO t (name) VALUES ('b')")
    db.execute_sql("ROLLBACK")
    assert names(regions) == ["a"]


def test_what_writes_nothing_leaves_no_row(regions: TwoRegions, db: Any) -> None:
    with fly_orm.primary():
        db.execute_sql("SELECT count(*) FROM t").fetchall()
        with db.atomic():
            db.execute_sql("SELECT count(*) FROM t").fetchall()
    assert regions.query("SELECT count(*) FROM fly_orm_ledger") == 0


def test_a_session_whose_transactions_are_read_only_reads_on_the_primary(db: Any) -> None:
    db.execute_sql(INSERT, ("first",))
    db.execute_sql("SET default_transaction_read_only = on")
    with fly_orm.primary():
        assert db.execute_sql("SELECT count(*) FROM t").fetchall() == [(1,)]
        with pytest.raises(Exception, match="cannot execute INSERT in a read-only transaction"):
            db.execute_sql(INSERT, ("second",))


@pytest.mark.parametrize("kind", ["statement", "transaction", "copy", "many"])
def test_each_kind_of_write_is_settled(regions: TwoRegions, db: Any, kind: str) -> None:
    db.execute_sql(INSERT, ("first",))
    cursor = db.connection().cursor()

    def write() -> Any:
        if kind == "copy":
            cursor.copy_expert("COPY t (name) FROM STDIN", io.StringIO("a\nb\n"))
        elif kind == "many":
            cursor.executemany("INSERT INTO t (name) VALUES (%s)", [("a",), ("b",)])
        else:
            cursor.execute("INSERT INTO t (name) VALUES ('a'), ('b')")
        return cursor.rowcount

    if kind == "transaction":
        with db.atomic():
            assert write() == 2
            regions.wan.cut_before_reply()
    else:
        regions.wan.cut_before_reply()
        assert write() == 2
    assert names(regions) == ["first", "a", "b"]


def test_a_long_result_is_not_stored(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT, ("first",))
    long = f"{INSERT}, repeat('x', 2000000)"
    assert len(db.execute_sql(long, ("a",)).fetchone()[1]) == 2000000
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.ResultLost, match="was executed"):
        db.execute_sql(long, ("b",))
    with fly_orm.operation("long"):
        db.execute_sql(long, ("c",))
    with fly_orm.operation("long"), pytest.raises(fly_orm.ResultLost):
        db.execute_sql(long, ("c",))
    assert names(regions) == ["first", "a", "b", "c"]


def test_without_a_table_nothing_is_executed(regions: TwoRegions, db: Any) -> None:
    regions.query("DROP TABLE fly_orm_ledger")
    for work in (lambda: db.execute_sql(INSERT, ("x",)), lambda: in_transaction(db)):
        with pytest.raises(fly_orm.Refused, match="fly-orm ledger create") as raised:
            work()
        assert isinstance(raised.value, psycopg2.OperationalError)
    assert names(regions) == []
    regions.query(create_sql())
    db.execute_sql(INSERT, ("x",))


def in_transaction(db: Any) -> None:
    with db.atomic():
        db.execute_sql(INSERT, ("x",))


@pytest.mark.parametrize("rows", [2, pytest.param(300_000, marks=pytest.mark.slow)])
def test_a_copy_with_a_key_is_executed_once(regions: TwoRegions, rows: int) -> None:
    """It is short, or travels in many pieces, of which only the first is sent the second time."""
    db = regions.lax()
    for _ in range(2):
        with fly_orm.operation("copy"):
            cursor = db.connection().cursor()
            cursor.copy_expert("COPY t (name) FROM STDIN", io.StringIO("".join(f"row {n:09}\n" for n in range(rows))))
            assert cursor.rowcount == rows
    assert regions.query("SELECT count(*) FROM t") == rows


def test_a_node_that_does_not_know_the_ledger_gets_nothing(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a deploy: it would ignore that the request is to be recorded."""
    monkeypatch.setattr("fly_orm.protocol.messages.Welcome.records", False)
    with pytest.raises(fly_orm.Refused, match="update it"):
        db.execute_sql(INSERT, ("x",))
    assert names(regions) == []


def test_an_old_node_that_would_record_nothing_commits_nothing(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the transaction, whose first statement is not recorded, but not its COMMIT."""
    welcome = Executor.welcome
    monkeypatch.setattr(Executor, "welcome", lambda node: msgspec.structs.replace(welcome(node), records=False))
    for name in ("first", "second"):
        with pytest.raises(fly_orm.Refused, match="does not know the ledger"), db.atomic():
            db.execute_sql(INSERT, (name,))
    with pytest.raises(fly_orm.Refused, match="does not know the ledger"):
        db.execute_sql(INSERT, ("alone",))
    assert names(regions) == []
