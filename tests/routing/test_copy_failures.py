"""A COPY whose data travels in pieces is one statement: whatever fails on the way, all of it happens or nothing."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

import fly_orm
from fly_orm.protocol.messages import Declined
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.testing import Cluster
from tests.support.copies import PIECES, Source, copy, make_pieces_small
from tests.support.one_table import TABLE, count, one_table
from tests.support.two_regions import TwoRegions, trips, two_regions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pieces_small(monkeypatch)


@pytest.fixture
def db(regions: TwoRegions) -> Iterator[Any]:
    """A database in lax, of which nothing is left on the node when it is closed."""
    yield one_table(regions)
    until(lambda: all(thread.name != "fly_orm copy" for thread in threading.enumerate()), "the COPY goes on")
    running = "state <> 'idle' AND pid <> pg_backend_pid() AND query LIKE 'COPY%'"
    until(lambda: regions.query(f"SELECT count(*) FROM pg_stat_activity WHERE {running}") == 0)


def fails(error: Any, db: Any, **actions: Callable[[], Any]) -> Any:
    with pytest.raises(error) as raised:
        copy(db, Source(**actions))
    return raised.value


# How it travels


def test_each_piece_takes_a_round_trip(regions: TwoRegions, db: Any) -> None:
    assert trips(regions, lambda: copy(db, Source())) == PIECES
    assert count(db) == 1 + PIECES


@pytest.mark.parametrize("data", ["", "one piece\n"])
def test_what_is_no_longer_than_a_piece_takes_one(regions: TwoRegions, db: Any, data: str) -> None:
    assert trips(regions, lambda: copy(db, io.StringIO(data))) == 1
    assert count(db) == 1 + bool(data)


def test_it_can_be_undone(db: Any) -> None:
    with pytest.raises(ZeroDivisionError), db.atomic():
        copy(db, Source())
        assert count(db) == 1 + PIECES
        raise ZeroDivisionError
    assert count(db) == 1


# The network


@pytest.mark.parametrize("row", range(1, PIECES))
@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "cut_before_reply"])
def test_nothing_is_committed_if_the_channel_is_lost_before_the_last_piece(
    regions: TwoRegions, db: Any, fault: str, row: int
) -> None:
    error = fails(fly_orm.TransactionLost, db, **{f"at_{row}": getattr(regions.wan, fault)})
    assert isinstance(error, psycopg2.OperationalError)
    assert "nothing of it was committed" in str(error)
    assert "look" not in str(error)
    assert regions.query("SELECT count(*) FROM t") == 1
    assert copy(db, Source()).rowcount == PIECES  # over the same connection


def test_a_first_piece_that_was_not_delivered_goes_to_another_node(regions: TwoRegions, db: Any) -> None:
    regions.wan.cut()
    regions.wan.heal()  # the channel is lost, and replaced
    assert copy(db, Source()).rowcount == PIECES


def test_the_outcome_is_unknown_if_the_reply_to_the_last_piece_is_lost(regions: TwoRegions, db: Any) -> None:
    fails(fly_orm.OutcomeUnknown, db, at_5=regions.wan.cut_before_reply)
    assert count(db) == 1 + PIECES  # the session reads on the primary until it is known


@pytest.mark.slow
def test_a_last_piece_that_comes_too_late_commits_nothing(regions: TwoRegions, db: Any) -> None:
    impatient = regions.lax(options={"rpc_timeout": 1})
    error = fails(fly_orm.OutcomeUnknown, impatient, at_5=regions.wan.stall)
    regions.wan.heal()
    time.sleep(error.settled_after)
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_last_piece_that_was_not_sent_commits_nothing(regions: TwoRegions, db: Any) -> None:
    fails(fly_orm.TransactionLost, db, at_5=lambda: [regions.wan.cut(), regions.wan.heal()])
    assert regions.query("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize("row", [3, 5])
def test_a_transaction_is_lost_with_its_copy(regions: TwoRegions, db: Any, row: int) -> None:
    with pytest.raises(fly_orm.TransactionLost), db.atomic():
        db.execute_sql("INSERT INTO t (name) VALUES ('before')")
        copy(db, Source(**{f"at_{row}": regions.wan.cut_before_reply}))
    assert regions.query("SELECT count(*) FROM t") == 1


# The ends


def test_an_interrupted_caller_commits_nothing(regions: TwoRegions, db: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fails(KeyboardInterrupt, db, at_3=interrupt)
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_node_that_declines_a_piece_commits_nothing(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declined = Declined(reason="expired", message="too late")
    fails(fly_orm.TransactionLost, db, at_4=lambda: monkeypatch.setattr(ChannelExecutor, "_go_on", lambda *_: declined))
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_node_that_stops_commits_nothing(regions: TwoRegions, db: Any) -> None:
    fails(fly_orm.TransactionLost, db, at_3=lambda: regions.serving.close(drain_timeout=0))
    assert regions.query("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize("row", [2, 3, 5])
def test_a_connection_to_the_primary_that_breaks_commits_nothing(regions: TwoRegions, db: Any, row: int) -> None:
    terminate = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'C%'"
    )
    fails((fly_orm.TransactionLost, errors.AdminShutdown), db, **{f"at_{row}": lambda: regions.query(terminate)})
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_session_with_a_lock_goes_on_after_a_copy(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("SELECT pg_advisory_lock(7)")
    copy(db, Source())
    fails(errors.UniqueViolation, db)
    assert regions.query("SELECT pg_try_advisory_lock(7)") is False
    assert count(db) == 1 + PIECES


def test_another_statement_on_the_connection_of_a_copy_is_declined(regions: TwoRegions, db: Any) -> None:
    def write() -> None:
        db.execute_sql("INSERT INTO t (name) VALUES ('meanwhile')")

    with pytest.raises((fly_orm.Refused, fly_orm.TransactionLost)), db.atomic():
        db.execute_sql("INSERT INTO t (name) VALUES ('before')")
        copy(db, Source(at_3=write))
    assert regions.query("SELECT count(*) FROM t") == 1


# Time


def test_one_that_goes_on_may_take_longer_than_a_request(regions: TwoRegions, db: Any) -> None:
    slow = regions.lax(options={"rpc_timeout": 2.0})
    pause = lambda: time.sleep(0.6)  # noqa: E731
    assert copy(slow, Source(at_2=pause, at_3=pause, at_4=pause, at_5=pause)).rowcount == PIECES


@pytest.mark.usefixtures("time_to_answer")
def test_one_that_stands_still_is_cancelled(regions: TwoRegions, db: Any) -> None:
    slow = regions.lax(options={"rpc_timeout": 1.0})
    db.execute_sql("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END'")
    db.execute_sql("CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait()")
    error = fails(errors.QueryCanceled, slow)
    assert "FLY_ORM_RPC_TIMEOUT" in str(error)
    assert regions.query("SELECT count(*) FROM t") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("time_to_answer")
def test_the_end_may_take_as_long_as_what_came_before(regions: TwoRegions, db: Any) -> None:
    slow = regions.lax(options={"rpc_timeout": 1.0})
    db.execute_sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN null; END'"
    )
    db.execute_sql("CREATE TRIGGER wait AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION wait()")
    fails(errors.QueryCanceled, slow)
    assert copy(slow, Source(at_3=lambda: time.sleep(2))).rowcount == PIECES


def test_a_source_that_is_silent_for_too_long_commits_nothing(cluster: Cluster, database: str) -> None:
    with two_regions(cluster, database, idle_timeout=0.2) as regions:
        db = regions.lax()
        db.execute_sql(TABLE)
        fails(fly_orm.TransactionLost, db, at_3=lambda: time.sleep(0.5))
        assert regions.query("SELECT count(*) FROM t") == 0


@pytest.mark.slow
def test_a_slow_source_is_not_silent(cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fly_orm.driver.copy_source._PIECE_INTERVAL", 0.1)
    monkeypatch.setattr("fly_orm.driver.copy_source.PIECE_BYTES", 1000)
    with two_regions(cluster, database, idle_timeout=3) as regions:
        db = regions.lax()
        db.execute_sql(TABLE)
        rows = iter(["x" * 1001 + "\n", *(f"{n}\n" for n in range(12)), ""])
        source = type("Slow", (), {"read": lambda _file, _size: (time.sleep(0.25), next(rows))[1]})()
        assert copy(db, source).rowcount == 13


def test_cancelling_it_commits_nothing(regions: TwoRegions, db: Any) -> None:
    fails(errors.QueryCanceled, db, at_3=lambda: threading.Thread(target=db.connection().cancel).run())
    assert regions.query("SELECT count(*) FROM t") == 1
