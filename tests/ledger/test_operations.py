"""A block with a key of the application's is executed once, however often it is tried."""

import threading
from contextvars import copy_context
from typing import Any

import pytest

import fly_orm
from fly_orm.testing.contract.tools import in_thread, result
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE, until

INSERT = "INSERT INTO t (name) VALUES (%s) RETURNING id"


def names(regions: TwoRegions) -> list[str]:
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM t"))


def test_a_write_that_is_repeated_returns_what_it_has_returned(regions: TwoRegions) -> None:
    db = regions.lax()
    for _ in range(2):
        with fly_orm.operation("order-42"):
            assert db.execute_sql(INSERT, ("once",)).fetchall() == [(1,)]
    with fly_orm.operation("order-43"):
        assert db.execute_sql(INSERT, ("another",)).fetchall() == [(2,)]
    assert names(regions) == ["once", "another"]


def test_a_transaction_that_is_repeated_says_that_it_was_committed(regions: TwoRegions) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"), db.atomic():
        db.execute_sql(INSERT, ("once",))
    for connection in (db, regions.lax()):
        with pytest.raises(fly_orm.AlreadyCommitted), fly_orm.operation("order-42"), connection.atomic():
            connection.execute_sql(INSERT, ("twice",))
        assert not connection.in_transaction()
        connection.execute_sql(INSERT, (f"other {id(connection)}",))
    assert "twice" not in names(regions)


def test_what_failed_leaves_the_key_free(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql(INSERT, ("taken",))
    with fly_orm.operation("order-42"):
        with pytest.raises(Exception, match="duplicate key"):
            db.execute_sql(INSERT, ("taken",))
        db.execute_sql(INSERT, ("free",))
    with fly_orm.operation("order-43"):
        with pytest.raises(Exception, match="duplicate key"), db.atomic():
            db.execute_sql(INSERT, ("free too",))
            db.execute_sql(INSERT, ("taken",))
        with db.atomic():
            db.execute_sql(INSERT, ("free too",))
    assert names(regions) == ["taken", "free", "free too"]


@pytest.mark.parametrize("kind", ["write", "transaction"])
def test_of_two_at_a_time_one_waits_for_the_other(regions: TwoRegions, kind: str) -> None:
    """The second one gets the outcome of the first, and not an error that the first one has caused."""
    outcomes: list[Any] = []

    def attempt() -> None:
        db = regions.lax()
        try:
            with fly_orm.operation("order-42"):
                if kind == "transaction":
                    with db.atomic():
                        db.execute_sql(f"{INSERT}, pg_sleep(0.3)", ("once",))
                    outcomes.append("committed")
                else:
                    outcomes.append(db.execute_sql(f"{INSERT}, pg_sleep(0.3)", ("once",)).fetchall())
        except fly_orm.FlyOrmError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = ["AlreadyCommitted", "committed"] if kind == "transaction" else [[(1, "")], [(1, "")]]
    assert sorted(outcomes, key=str) == expected
    assert names(regions) == ["once"]


def test_a_block_holds_one_write(regions: TwoRegions) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"):
        db.execute_sql(INSERT, ("one",))
        db.execute_sql("SELECT * FROM t").fetchall()
        with pytest.raises(fly_orm.NotSupported, match="is done"):
            db.execute_sql(INSERT, ("two",))
        with pytest.raises(fly_orm.NotSupported, match="is done"), db.atomic():
            db.execute_sql(INSERT, ("three",))
    assert names(regions) == ["one"]
    db.execute_sql(INSERT, ("four",))


def test_many_rows_are_one_operation(regions: TwoRegions) -> None:
    db = regions.lax()
    rows = [(str(number),) for number in range(1100)]  # more than one request carries otherwise
    for _ in range(2):
        with fly_orm.operation("order-42"):
            cursor = db.connection().cursor()
            cursor.executemany("INSERT INTO t (name) VALUES (%s)", rows)
            assert cursor.rowcount == len(rows)
    assert regions.query("SELECT count(*) FROM t") == len(rows)


def test_a_block_does_not_begin_inside_a_transaction(regions: TwoRegions) -> None:
    db = regions.lax()
    with db.atomic():
        db.execute_sql(INSERT, ("one",))
        with fly_orm.operation("order-42"), pytest.raises(fly_orm.NotSupported, match="before the transaction"):
            db.execute_sql(INSERT, ("two",))
        db.execute_sql(INSERT, ("three",))
    assert names(regions) == ["one", "three"]


def test_a_key_stands_for_one_kind_of_operation(regions: TwoRegions) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"):
        db.execute_sql(INSERT, ("one",))
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="choose another key"):
        db.execute_sql("DELETE FROM t")
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="choose another key"), db.atomic():
        db.execute_sql("DELETE FROM t")
    assert names(regions) == ["one"]


def test_a_key_stands_for_one_write(regions: TwoRegions) -> None:
    """The same statement about another row, or for another tenant, must not get the first one's result."""
    db = regions.lax()
    db.execute_sql("SET app.tenant TO 'a'")
    with fly_orm.operation("order-42"):
        assert db.execute_sql(INSERT, ("one",)).fetchall() == [(1,)]
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="other parameters"):
        db.execute_sql(INSERT, ("two",))
    db.execute_sql("SET app.tenant TO 'b'")
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="another tenant"):
        db.execute_sql(INSERT, ("one",))
    db.execute_sql("SET app.tenant TO 'a'")
    db.execute_sql("SET search_path TO b, public")
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="another tenant"):
        db.execute_sql(INSERT, ("one",))
    db.execute_sql("RESET search_path")
    with fly_orm.operation("order-42"):
        assert db.execute_sql(INSERT, ("one",)).fetchall() == [(1,)]
    assert names(regions) == ["one"]


@pytest.mark.parametrize("key", ["", "x" * 251, "two\nlines", 42, None])
def test_an_impossible_key_is_an_error(key: Any) -> None:
    with pytest.raises(fly_orm.ConfigurationError, match="operation key"), fly_orm.operation(key):
        raise AssertionError


@pytest.mark.parametrize("key", ["it's", "naïve – 42", "back\\slash"])
def test_a_key_may_be_any_text(regions: TwoRegions, key: str) -> None:
    db = regions.lax()
    for _ in range(2):
        with fly_orm.operation(key):
            db.execute_sql(INSERT, ("once",))
    assert names(regions) == ["once"]


@pytest.mark.parametrize("sql", ["VACUUM t", "CREATE TEMP TABLE mine (a int)", "SELECT 1; COMMIT"])
def test_what_cannot_be_recorded_is_no_operation(regions: TwoRegions, sql: str) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"), pytest.raises(fly_orm.NotSupported, match="cannot be recorded"):
        db.execute_sql(sql)


def test_an_operation_does_not_begin_inside_another(regions: TwoRegions) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"):
        with pytest.raises(fly_orm.NotSupported, match="inside of another, 'order-42'"), fly_orm.operation("order-43"):
            db.execute_sql(INSERT, ("inner",))
        with db.atomic():
            db.execute_sql(INSERT, ("outer",))
            with pytest.raises(fly_orm.NotSupported, match="order-43"), fly_orm.operation("order-43"):
                db.execute_sql(INSERT, ("inner",))
    assert names(regions) == ["outer"]


@pytest.mark.parametrize("sql", ["COMMIT AND CHAIN", "INSERT INTO t (name) VALUES ('b'); COMMIT"])
def test_an_operation_is_one_transaction(regions: TwoRegions, sql: str) -> None:
    db = regions.lax()
    with fly_orm.operation("order-42"):
        db.execute_sql("BEGIN")
        with pytest.raises(fly_orm.NotSupported, match="order-42"):
            db.execute_sql("INSERT INTO t (name) VALUES ('b'); COMMIT")
        db.execute_sql(INSERT, ("a",))
        with pytest.raises(fly_orm.NotSupported, match="order-42"):
            db.execute_sql(sql)
        db.execute_sql("COMMIT")
    assert names(regions) == ["a"]


@pytest.mark.parametrize("region", ["lax", "syd"])
def test_a_block_does_not_take_an_equal_write_of_another_thread_for_a_repetition(
    regions: TwoRegions, region: str
) -> None:
    first, second = getattr(regions, region)(), getattr(regions, region)()
    with regions.cluster.primary.connect(regions.name) as holder, fly_orm.operation("order-42"):
        holder.cursor().execute("BEGIN; LOCK TABLE t")
        writing = in_thread(copy_context().run, lambda: first.execute_sql(INSERT, ("once",)).fetchall())
        until(lambda: regions.query("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        with pytest.raises(fly_orm.NotSupported, match="is being executed by another thread or task"):
            second.execute_sql(INSERT, ("once",))
        holder.cursor().execute("COMMIT")
        assert result(writing, PATIENCE) == [(1,)]
        with pytest.raises(fly_orm.NotSupported, match="is done"):
            second.execute_sql(INSERT, ("once",))
    holder.close()
    assert names(regions) == ["once"]
