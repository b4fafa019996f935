"""COPY … TO a file from the primary, in pieces."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import errors

import fly_orm
from tests.support.copies import make_pieces_small
from tests.support.one_table import count, one_table
from tests.support.two_regions import TwoRegions, trips
from tests.support.waiting import until

ROWS = [f"row {number:05}\n" for number in range(1, 6)]
QUERY = "COPY (SELECT 'row ' || lpad(n::text, 5, '0') FROM generate_series(1, 5) AS n) TO STDOUT"
#: The same, of a statement that stores its rows.
WRITES = QUERY.replace("(SELECT", "(INSERT INTO t (name) SELECT").replace(") TO", " RETURNING name) TO")

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pieces_small(monkeypatch)


@pytest.fixture
def db(regions: TwoRegions) -> Iterator[Any]:
    """A database in lax whose reads run on the primary, where nothing is left of a COPY when it is closed."""
    database = one_table(regions)
    with fly_orm.primary():
        yield database
    until(lambda: all(thread.name != "fly_orm copy" for thread in threading.enumerate()), "the COPY goes on")
    running = "state <> 'idle' AND pid <> pg_backend_pid() AND query LIKE 'COPY%'"
    until(lambda: regions.query(f"SELECT count(*) FROM pg_stat_activity WHERE {running}") == 0)


class Target:
    """A file that does something before it takes its third row."""

    def __init__(self, at_third: Any = lambda: None) -> None:
        self.rows: list[Any] = []
        self.calls = 0
        self.at_third = at_third

    def write(self, row: bytes) -> None:
        self.calls += 1
        if len(self.rows) == 2:
            self.at_third()
        self.rows.append(row.decode())


def copy(db: Any, target: Any, query: str = QUERY) -> Any:
    cursor = db.connection().cursor()
    cursor.copy_expert(query, target)
    return cursor


def test_each_piece_takes_a_round_trip(regions: TwoRegions, db: Any) -> None:
    target = Target()
    assert trips(regions, lambda: copy(db, target)) <= len(ROWS)
    assert target.rows == ROWS


def test_what_is_no_longer_than_a_piece_takes_one(regions: TwoRegions, db: Any) -> None:
    assert trips(regions, lambda: copy(db, Target(), "COPY (SELECT 1) TO STDOUT")) == 1
    assert trips(regions, lambda: copy(db, Target(), "COPY (SELECT 1 WHERE false) TO STDOUT")) == 1


def test_a_row_may_be_longer_than_a_piece(db: Any) -> None:
    target = io.StringIO()
    copy(db, target, "COPY (VALUES ('a'), (repeat('é', 1000)), ('b')) TO STDOUT")
    assert target.getvalue() == f"a\n{'é' * 1000}\nb\n"


def test_an_error_after_some_rows_is_the_primarys(db: Any) -> None:
    target = Target()
    with pytest.raises(errors.DivisionByZero):
        copy(db, target, "COPY (SELECT 'row ' || 10 / (n - 4) FROM generate_series(1, 5) AS n) TO STDOUT")
    assert len(target.rows) <= 3


@pytest.mark.parametrize("query", [QUERY, WRITES])
def test_the_outcome_is_unknown_if_the_channel_is_lost(regions: TwoRegions, db: Any, query: str) -> None:
    with pytest.raises(fly_orm.OutcomeUnknown) as raised:
        copy(db, Target(regions.wan.cut_before_reply), query)
    assert raised.value.settled_after is None
    assert regions.query("SELECT count(*) FROM t") in (1, 6)
    copy(db, Target())  # over the same connection


def test_a_transaction_is_lost_with_the_channel(regions: TwoRegions, db: Any) -> None:
    with pytest.raises(fly_orm.TransactionLost), db.atomic():
        copy(db, Target(regions.wan.cut_before_reply), WRITES)
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_file_that_raises_does_not_undo_what_the_statement_has_done(regions: TwoRegions, db: Any) -> None:
    def full() -> None:
        raise OSError("disk full")

    target = Target(full)
    with pytest.raises(OSError, match="disk full"):
        copy(db, target, WRITES)
    assert target.rows == ROWS[:2]
    assert target.calls == 3
    assert count(db) == 1 + len(ROWS)
    with db.atomic():
        with pytest.raises(OSError, match="disk full"):
            copy(db, Target(full))
        db.execute_sql("INSERT INTO t (name) VALUES ('after')")
    assert count(db) == 2 + len(ROWS)


def test_an_interrupted_caller_ends_the_statement(regions: TwoRegions, db: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(db, Target(interrupt), "COPY (SELECT generate_series(1, 100000000)) TO STDOUT")


@pytest.mark.slow
@pytest.mark.usefixtures("time_to_answer")
def test_a_slow_query_may_take_longer_than_a_request(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pieces_small(monkeypatch, 1_000_000)  # longer than all that it returns
    slow = regions.lax(options={"rpc_timeout": 1})
    target = Target()
    # The server itself sends 8 KiB at once.
    copy(slow, target, "COPY (SELECT repeat('x', 8192), pg_sleep(0.2) FROM generate_series(1, 8) AS n) TO STDOUT")
    assert len(target.rows) == 8


@pytest.mark.usefixtures("time_to_answer")
def test_a_query_that_returns_nothing_is_cancelled(regions: TwoRegions, db: Any) -> None:
    slow = regions.lax(options={"rpc_timeout": 1})
    with pytest.raises(errors.QueryCanceled, match="FLY_ORM_RPC_TIMEOUT"):
        copy(slow, Target(), "COPY (SELECT n, pg_sleep(30 * (n / 3)) FROM generate_series(1, 5) AS n) TO STDOUT")
