"""A result that travels in pieces is that of one statement: all of it arrives, or an error says what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.serving import result_pieces, results
from fly_orm.testing import Cluster
from tests.support.long_results import PIECE, PIECES, QUERY, ROWS, between, make_pieces_small
from tests.support.one_table import TABLE, count
from tests.support.two_regions import TwoRegions, trips, two_regions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")

#: A write that returns all rows of the result.
WRITE = f"INSERT INTO t (name) SELECT 'row ' || g FROM generate_series(1, {ROWS}) g RETURNING id, name"


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pieces_small(monkeypatch)


@pytest.fixture
def db(regions: TwoRegions) -> Iterator[Any]:
    """A database in lax, of which nothing is left on the node when it is closed."""
    made = regions.lax()
    made.execute_sql(TABLE)
    with fly_orm.primary():
        yield made
    running = "state <> 'idle' AND pid <> pg_backend_pid() AND query LIKE ANY (ARRAY['SELECT g%', 'INSERT%'])"
    until(lambda: regions.query(f"SELECT count(*) FROM pg_stat_activity WHERE {running}") == 0)


def execute(db: Any, query: str) -> Any:
    cursor = db.connection().cursor()
    cursor.execute(query)
    return cursor


def fails(error: Any, db: Any, query: str) -> Any:
    with pytest.raises(error) as raised:
        execute(db, query)
    return raised.value


def leases(regions: TwoRegions) -> dict[bytes, Any]:
    return regions.serving._executor._leases


# How it travels


def test_each_piece_takes_a_round_trip(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = between(monkeypatch)
    execute(db, "SELECT 1")
    assert trips(regions, lambda: execute(db, QUERY)) == PIECES + 1
    assert sizes == [PIECE] * PIECES


def test_it_is_what_psycopg2_returns(regions: TwoRegions, db: Any) -> None:
    query = f"{QUERY} ORDER BY g % 7, g"
    there, direct = execute(db, query), regions.cluster.primary.connect(regions.name).cursor()
    direct.execute(query)
    for cursor in (there, direct):
        assert cursor.fetchone() is not None
    assert there.fetchmany(PIECE + 3) == direct.fetchmany(PIECE + 3)
    for cursor in (there, direct):
        cursor.scroll(-5)
    assert (there.rowcount, there.rownumber, there.statusmessage) == (ROWS, direct.rownumber, direct.statusmessage)
    assert there.description == direct.description
    assert next(there) == next(direct)
    for cursor in (there, direct):
        cursor.scroll(0, mode="absolute")
    assert there.fetchall() == direct.fetchall()
    assert there.fetchone() is None
    direct.connection.close()


@pytest.mark.parametrize(
    "query",
    [f"{QUERY}; SELECT 1, 2", f"SELECT 1; {QUERY}", f"{QUERY}; {QUERY} LIMIT 20", f"{QUERY}; SET LOCAL x.y TO 1"],
)
def test_of_several_statements_the_last_result_counts(regions: TwoRegions, db: Any, query: str) -> None:
    there, direct = execute(db, query), regions.cluster.primary.connect(regions.name).cursor()
    direct.execute(query)
    assert (there.rowcount, there.statusmessage) == (direct.rowcount, direct.statusmessage)
    assert there.description == direct.description
    if direct.description:
        assert there.fetchall() == direct.fetchall()
    direct.connection.close()


def test_notices_arrive_in_order(db: Any) -> None:
    execute(
        db, "CREATE FUNCTION tell(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', i; RETURN i; END $$"
    )
    execute(db, f"SELECT tell(g), repeat('x', 100) FROM generate_series(1, {ROWS}) g")
    last = range(ROWS - 39, ROWS + 1)  # psycopg2 keeps 50
    assert db.connection().notices[-40:] == [f"NOTICE:  {number}\n" for number in last]


def test_a_write_is_committed_with_all_that_it_returns(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    look = lambda: counts.append(count(db))  # noqa: E731
    with pytest.raises(psycopg2.Error), db.atomic():
        between(monkeypatch, at_3=lambda: None)
        assert len(execute(db, WRITE).fetchall()) == ROWS
        look()
        execute(db, "SELECT 1 / 0")
    assert counts == [ROWS]
    assert count(db) == 0
    assert execute(db, WRITE).rowcount == ROWS
    assert count(db) == ROWS


def test_a_named_cursor_takes_pieces_too(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = between(monkeypatch)
    db.connection().autocommit = False
    cursor = db.connection().cursor("named")
    cursor.itersize = 2 * PIECE
    cursor.execute(QUERY)
    assert [next(cursor)[0] for _ in range(40)] == list(range(1, 41))
    assert len(cursor.fetchmany(PIECE)) == PIECE
    assert cursor.fetchall()[-1][0] == ROWS
    db.connection().rollback()
    assert set(sizes) == {PIECE}


# Errors


@pytest.mark.parametrize("query", [QUERY, f"SELECT {ROWS}"])
def test_an_error_after_many_rows_is_that_error(db: Any, query: str) -> None:
    with db.atomic():
        error = fails(errors.DivisionByZero, db, f"SELECT g, 1 / (60 - g) FROM generate_series(1, {ROWS}) g")
        assert error.diag.message_primary == "division by zero"
        assert db.connection().get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INERROR
        db.rollback()
    assert execute(db, query).rowcount in (ROWS, 1)


def test_a_write_that_fails_after_many_rows_has_no_effect(db: Any) -> None:
    fails(errors.DivisionByZero, db, f"{WRITE}, 1 / (60 - id)")
    assert count(db) == 0


@pytest.mark.parametrize(("error", "again"), [(ValueError, {*range(33, 40)}), (KeyboardInterrupt, set())])
def test_rows_that_come_before_one_that_cannot_be_made_are_not_all_made_again(
    db: Any, error: type[BaseException], again: set[int]
) -> None:
    made: list[int] = []

    def number(value: str, _cursor: Any) -> int:
        if value == "40":
            raise error
        made.append(int(value))
        return int(value)

    cursor = execute(db, QUERY)
    psycopg2.extensions.register_type(psycopg2.extensions.new_type((23,), "NUMBER", number), cursor)
    cursor.execute(QUERY)
    with pytest.raises(error):
        cursor.fetchall()
    assert {each for each in made if made.count(each) > 1} <= again
    assert [row[0] for row in cursor.fetchall()] == ([*range(41, ROWS + 1)] if again else [])


# The network


@pytest.mark.parametrize("piece", range(1, PIECES))
def test_a_write_is_undone_if_the_channel_is_lost_between_two_pieces(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    cut = lambda: [regions.wan.cut(), regions.wan.heal()]  # noqa: E731
    between(monkeypatch, **{f"at_{piece}": cut})
    error = fails(fly_orm.TransactionLost, db, WRITE)
    assert "nothing of it was committed" in str(error)
    assert regions.query("SELECT count(*) FROM t") == 0
    assert execute(db, WRITE).rowcount == ROWS  # over the same connection


@pytest.mark.parametrize("piece", range(1, PIECES + 1))
@pytest.mark.parametrize("fault", ["cut_after_request", "cut_before_reply"])
def test_the_outcome_is_unknown_if_the_last_reply_may_be(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch, piece: int, fault: str
) -> None:
    between(monkeypatch, **{f"at_{piece}": getattr(regions.wan, fault)})
    fails(fly_orm.OutcomeUnknown, db, WRITE)
    running = "state <> 'idle' AND query LIKE 'INSERT%'"
    until(lambda: regions.query(f"SELECT count(*) FROM pg_stat_activity WHERE {running}") == 0)
    assert count(db) == (ROWS if piece == PIECES else 0)


def test_a_read_is_repeated_from_its_beginning(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = between(monkeypatch, at_2=lambda: [regions.wan.cut(), regions.wan.heal()])
    assert [row[0] for row in execute(db, QUERY).fetchall()] == list(range(1, ROWS + 1))
    assert sizes == [PIECE] * (2 + PIECES)


def test_the_outcome_of_what_may_have_ended_and_written_is_unknown(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(db, "CREATE FUNCTION add(i int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (i, i) RETURNING id'")
    between(monkeypatch, at_2=lambda: [regions.wan.cut(), regions.wan.heal()])
    fails(fly_orm.OutcomeUnknown, db, f"SELECT add(g), repeat('x', 100) FROM generate_series(1, {ROWS}) g")


def test_a_transaction_is_lost_with_its_result(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, at_2=regions.wan.cut_before_reply)
    with pytest.raises(fly_orm.TransactionLost), db.atomic():
        db.execute_sql("INSERT INTO t (name) VALUES ('before')")
        execute(db, QUERY)
    assert regions.query("SELECT count(*) FROM t") == 0


# The ends


def test_an_interrupted_caller_leaves_nothing(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    between(monkeypatch, at_3=interrupt)
    fails(KeyboardInterrupt, db, WRITE)
    assert regions.query("SELECT count(*) FROM t") == 0
    until(lambda: not leases(regions))


def test_a_node_that_stops_commits_nothing(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, at_3=lambda: regions.serving.close(drain_timeout=0))
    fails(fly_orm.TransactionLost, db, WRITE)
    assert regions.query("SELECT count(*) FROM t") == 0


def test_a_connection_to_the_primary_that_breaks_commits_nothing(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_node = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'INSERT%RETURNING%'"
    between(monkeypatch, at_1=lambda: regions.query(of_node))
    long = "INSERT INTO t (name) SELECT repeat('x', 2000) || g FROM generate_series(1, 3000) g RETURNING id, name"
    fails((fly_orm.TransactionLost, errors.AdminShutdown), db, long)
    assert regions.query("SELECT count(*) FROM t") == 0


def test_a_caller_that_is_silent_for_too_long_frees_the_lease(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_regions(cluster, database, idle_timeout=0.2) as regions:
        db = regions.lax()
        db.execute_sql(TABLE)
        between(monkeypatch, at_3=lambda: until(lambda: not leases(regions)))
        fails(fly_orm.TransactionLost, db, WRITE)
        assert regions.query("SELECT count(*) FROM t") == 0


# Time


def test_a_caller_may_take_longer_than_a_request_to_ask_for_more(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    between(monkeypatch, at_2=lambda: time.sleep(2.3))
    patient = regions.lax(options={"rpc_timeout": 2.0})
    # More than the buffers of a connection hold, so that the statement goes on meanwhile.
    cursor = execute(patient, "SELECT g, repeat('x', 50000) FROM generate_series(1, 200) g")
    assert cursor.rowcount == 200


@pytest.mark.usefixtures("time_to_answer")
def test_one_that_stands_still_is_cancelled(regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = between(monkeypatch)
    stands = "CASE WHEN g > 600 THEN pg_sleep(60)::text END"
    slow = regions.lax(options={"rpc_timeout": 1.0})
    error = fails(errors.QueryCanceled, slow, f"SELECT g, repeat('x', 100), {stands} FROM generate_series(1, 1000) g")
    assert "FLY_ORM_RPC_TIMEOUT" in str(error)
    assert len(sizes) > 10


def test_cancelling_it_is_an_error(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, at_3=lambda: threading.Thread(target=db.connection().cancel).run())
    stands = "CASE WHEN g > 600 THEN pg_sleep(60)::text END"
    fails(errors.QueryCanceled, db, f"SELECT g, repeat('x', 100), {stands} FROM generate_series(1, 1000) g")
    assert execute(db, QUERY).rowcount == ROWS


# Others


def test_the_ledger_records_it_in_the_same_transaction(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> None:
    db = regions.lax(options={"exactly_once": True})
    regions.query(f"{create_sql()}; {TABLE}")
    regions.cluster.wait_for_replica()
    assert execute(db, WRITE).rowcount == ROWS
    between(monkeypatch, at_5=regions.wan.cut_before_reply)
    fails(fly_orm.ResultLost, db, WRITE.replace("'row '", "'again '"))
    assert regions.query("SELECT count(*) FROM t") == 2 * ROWS


def test_a_node_that_knows_no_pieces_sends_it_whole(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (result_pieces, results):
        monkeypatch.setattr(module, "stream_of", lambda *_: None)
    sizes = between(monkeypatch)
    assert len(execute(db, QUERY).fetchall()) == ROWS
    assert sizes == []
