"""What a Pony application in lax sees, and what is stored, when something on the way or at its end fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from pony import orm
from pony.orm.dbapiprovider import OperationalError

import fly_orm
from fly_orm.testing.contract.tools import within
from tests.support.pony_regions import LOCAL, PRIMARY, pony_in_lax, route, shop
from tests.support.two_regions import TwoRegions, named, settings
from tests.support.waiting import PATIENCE


@pytest.fixture
def here(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop in lax that does not wait long for its replica."""
    with pony_in_lax(regions, replication_timeout=0.05) as database:
        yield shop(database)


@pytest.fixture
def plain(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop on the primary, whose database is not wrapped."""
    database = orm.Database("postgres", **named(regions.cluster.primary, regions.name))
    yield shop(database)
    orm.rollback()
    database.disconnect()


def owners(regions: TwoRegions) -> list[str]:
    """The names of those that are stored."""
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM owner"))


def end_transactions(regions: TwoRegions) -> None:
    """Terminate the backends of the primary that hold transactions open in the database."""
    where = f"datname = '{regions.name}' AND state LIKE 'idle in transaction%'"
    ended = regions.cluster.primary.query(
        f"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE {where}"
    )
    assert ended == 1


def end_here(here: SimpleNamespace) -> None:
    """Terminate this thread's backend on the replica."""
    pid = here.db.provider.pool.con.get_backend_pid()
    with psycopg2.connect(**here.db.provider.pool.kwargs) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert cursor.fetchone() == (True,)
    connection.close()


def lose(regions: TwoRegions, way: str) -> None:
    """Lose what the transaction that is open runs in."""
    if way == "backend":
        end_transactions(regions)
    elif way == "network":
        regions.wan.cut()
        regions.wan.heal()
    elif way == "node":
        regions.serving.close(drain_timeout=0)
    else:
        regions.wan.cut_before_reply()


LOSSES = ["backend", "network", "node", "reply"]


def next_works(regions: TwoRegions, here: SimpleNamespace, *before: str) -> None:
    """The next db_session is as if nothing had happened."""
    with orm.db_session:
        here.Owner(name="next")
    assert owners(regions) == [*before, "next"]
    with orm.db_session:
        assert orm.count(o for o in here.Owner) == len(before) + 1


# The transaction on the primary is lost


@pytest.mark.parametrize("way", LOSSES)
def test_a_transaction_that_is_lost_between_two_writes_stores_nothing(
    regions: TwoRegions, here: SimpleNamespace, way: str
) -> None:
    with pytest.raises(orm.core.UnexpectedError) as raised, orm.db_session:
        here.Owner(name="1")
        orm.flush()
        lose(regions, way)
        here.Owner(name="2")
    original = raised.value.original_exc
    assert isinstance(original, fly_orm.TransactionLost)
    assert isinstance(original, psycopg2.OperationalError)
    assert isinstance(original, OperationalError)
    assert original.pgcode == "08006"
    assert "nothing of it was committed" in str(raised.value)
    assert owners(regions) == []
    if way != "node":
        next_works(regions, here)


def test_plain_pony_loses_the_first_of_two_writes_in_silence(regions: TwoRegions, plain: SimpleNamespace) -> None:
    """Which is why a connection that is lost in a transaction is not replaced by another."""
    with orm.db_session:
        plain.Owner(name="1")
        orm.flush()
        end_transactions(regions)
        plain.Owner(name="2")
    assert owners(regions) == ["2"]


@pytest.mark.parametrize("way", LOSSES)
def test_what_is_executed_in_a_lost_transaction_raises_so(regions: TwoRegions, here: SimpleNamespace, way: str) -> None:
    with pytest.raises(fly_orm.TransactionLost) as raised, orm.db_session:
        here.db.execute("INSERT INTO owner (name) VALUES ('1')")
        lose(regions, way)
        here.db.execute("INSERT INTO owner (name) VALUES ('2')")
    assert isinstance(raised.value, OperationalError)
    assert isinstance(raised.value, psycopg2.OperationalError)
    assert raised.value.pgcode == "08006"
    assert owners(regions) == []


@pytest.mark.parametrize("way", ["backend", "network", "node"])
def test_a_transaction_that_is_lost_before_its_commit_stores_nothing(
    regions: TwoRegions, here: SimpleNamespace, way: str
) -> None:
    with pytest.raises(orm.core.CommitException, match="nothing of it was committed") as raised, orm.db_session:
        here.Owner(name="1")
        orm.flush()
        lose(regions, way)
    assert isinstance(raised.value.exceptions[0][1], fly_orm.TransactionLost)
    assert owners(regions) == []


@pytest.mark.parametrize("way", ["backend", "network"])
def test_a_lost_transaction_stays_lost_for_who_goes_on(regions: TwoRegions, here: SimpleNamespace, way: str) -> None:
    with pytest.raises(orm.core.TransactionError), orm.db_session:
        here.Owner(name="1")
        orm.flush()
        lose(regions, way)
        for _ in range(2):
            with pytest.raises(fly_orm.TransactionLost):
                here.db.execute("INSERT INTO owner (name) VALUES ('2')")
    assert owners(regions) == []
    next_works(regions, here)


@pytest.mark.parametrize("way", ["backend", "network"])
def test_a_lost_transaction_that_is_rolled_back_can_be_begun_again(
    regions: TwoRegions, here: SimpleNamespace, way: str
) -> None:
    with orm.db_session:
        here.Owner(name="1")
        orm.flush()
        lose(regions, way)
        orm.rollback()
        here.Owner(name="2")
    assert owners(regions) == ["2"]


def test_a_lost_transaction_is_tried_again_as_a_whole(regions: TwoRegions, here: SimpleNamespace) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        here.Owner(name="1")
        orm.flush()
        if len(attempts) == 1:
            end_transactions(regions)
        here.Owner(name="2")

    work()
    assert (len(attempts), owners(regions)) == (2, ["1", "2"])


def test_a_first_statement_without_an_answer_is_not_executed_twice(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.core.UnexpectedError) as raised, orm.db_session:
        regions.wan.cut_before_reply()
        here.Owner(name="1")
    assert isinstance(raised.value.original_exc, fly_orm.TransactionLost)
    assert regions.query("SELECT last_value FROM owner_id_seq") == 1
    assert owners(regions) == []
    next_works(regions, here)


def test_a_function_that_writes_outside_of_a_transaction_is_not_executed_twice(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    regions.query(
        "CREATE FUNCTION add() RETURNS int LANGUAGE sql AS 'INSERT INTO owner (name) VALUES (''x'') RETURNING id'"
    )
    regions.cluster.wait_for_replica()
    with pytest.raises(fly_orm.OutcomeUnknown), orm.db_session:
        regions.wan.cut_before_reply()
        here.db.select("add()")
    assert owners(regions) == ["x"]


# Commits


def test_a_commit_without_an_answer_has_an_unknown_outcome(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.core.CommitException, match="may have executed") as raised, orm.db_session:
        here.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()
    assert isinstance(raised.value.exceptions[0][1], fly_orm.OutcomeUnknown)
    assert owners(regions) == ["1"]
    next_works(regions, here, "1")


def test_a_commit_of_unknown_outcome_can_be_kept_from_being_tried_again(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    attempts: list[int] = []

    def may_retry(error: BaseException) -> bool:
        first = getattr(error, "exceptions", [(None, error, None)])[0][1]
        return isinstance(error, orm.core.TransactionError) and not isinstance(first, fly_orm.OutcomeUnknown)

    @orm.db_session(retry=2, retry_exceptions=may_retry)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        here.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()

    with pytest.raises(orm.core.CommitException):
        work()
    assert (len(attempts), owners(regions)) == (1, ["1"])


def test_a_commit_that_the_primary_refuses_is_an_error_with_its_sqlstate(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    regions.query("ALTER TABLE owner ADD CONSTRAINT once UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(orm.core.CommitException) as raised, orm.db_session:
        here.Owner(name="1")
        here.Owner(name="1")
    cause = raised.value.exceptions[0][1]
    assert isinstance(cause, orm.IntegrityError)
    assert cause.original_exc.pgcode == "23505"
    assert owners(regions) == []
    next_works(regions, here)


# A replica that is late, or down


def test_a_replica_that_is_late_does_not_make_a_commit_fail(
    regions: TwoRegions, here: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        here.Owner(name="once")

    with regions.cluster.replay_paused(), caplog.at_level(logging.WARNING, "fly_orm"):
        work()
        assert (len(attempts), owners(regions)) == (1, ["once"])
        assert "reads from the primary until it has" in caplog.text
        with orm.db_session:
            assert here.Owner.get().name == "once"
            assert route() is PRIMARY
        assert within(PATIENCE, lambda: orm.db_session(lambda: orm.count(o for o in here.Owner))()) == 0
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert here.Owner.get().name == "once"
        assert route() is LOCAL


def test_a_replica_that_is_late_does_not_make_a_commit_in_the_middle_fail(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with regions.cluster.replay_paused(), orm.db_session:
        owner = here.Owner(name="1")
        orm.commit()
        assert [o.name for o in here.Owner.select()] == ["1"]
        assert route() is PRIMARY
        owner.name = "2"
    assert owners(regions) == ["2"]


def test_a_replica_that_stops_does_not_make_a_commit_fail(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Owner(name="1")
        orm.flush()
        regions.cluster.replica.stop("immediate")
        orm.commit()
        assert owners(regions) == ["1"]
        regions.cluster.replica.start()
        orm.rollback()
    next_works(regions, here, "1")


# The connection to the replica


def test_between_two_reads_a_dead_connection_is_replaced(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Owner(name="1")
    with orm.db_session:
        assert orm.count(o for o in here.Owner) == 1
        before = here.db.provider.pool.con
        end_here(here)
        assert [o.name for o in here.Owner.select()] == ["1"]
        assert route() is LOCAL
        assert here.db.provider.pool.con is not before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_dies_around_a_commit_does_not_make_it_fail(
    regions: TwoRegions, here: SimpleNamespace, when: str
) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        here.Owner(name="once")
        orm.flush()
        if when == "before":
            end_here(here)
        else:
            orm.commit()
            end_here(here)

    work()
    assert (len(attempts), owners(regions)) == (1, ["once"])
    next_works(regions, here, "once")


def test_a_connection_that_dies_while_its_transaction_is_rolled_back_raises_the_error_of_the_user(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.Owner(name="1")
        orm.flush()
        end_here(here)
        raise ZeroDivisionError
    assert owners(regions) == []
    next_works(regions, here)


def test_a_connection_that_dies_after_a_commit_in_the_middle_is_replaced_for_reading(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        here.Owner(name="1")
        orm.commit()
        end_here(here)
        assert orm.count(o for o in here.Owner) == 1
        assert route() is LOCAL


def test_a_write_in_a_session_whose_connection_has_died_is_stored(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        assert orm.count(o for o in here.Owner) == 0
        end_here(here)
        here.Owner(name="1")
        orm.flush()
        orm.commit()
        assert owners(regions) == ["1"]
        orm.rollback()


# No node


@pytest.mark.parametrize("how", ["flush", "commit"])
def test_a_write_that_reaches_no_node_says_so(regions: TwoRegions, here: SimpleNamespace, how: str) -> None:
    attempts = []
    regions.wan.cut()
    with pytest.raises(orm.core.UnexpectedError, match="NotDelivered") as raised, orm.db_session:
        attempts.append(here.Owner(name="never"))
        getattr(orm, how)()
    assert isinstance(raised.value.original_exc, fly_orm.NotDelivered)
    regions.wan.heal()
    assert owners(regions) == []
    next_works(regions, here)


@pytest.mark.parametrize(
    "work",
    [
        lambda here: here.db.execute("INSERT INTO owner (name) VALUES ('never')"),
        lambda here: here.db.insert("owner", name="never"),
        lambda here: here.Thing.get_for_update(name="x"),
        lambda here: here.Owner.select().delete(bulk=True),
    ],
    ids=["execute", "insert", "get_for_update", "bulk delete"],
)
def test_a_statement_that_reaches_no_node_says_so(
    regions: TwoRegions, here: SimpleNamespace, work: Callable[[Any], Any]
) -> None:
    regions.wan.cut()
    with pytest.raises(fly_orm.NotDelivered) as raised, orm.db_session:
        work(here)
    assert isinstance(raised.value, OperationalError)
    assert isinstance(raised.value, psycopg2.OperationalError)
    regions.wan.heal()
    assert owners(regions) == []
    next_works(regions, here)


def test_reads_need_no_node(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Owner(name="1")
    regions.wan.cut()
    with orm.db_session:
        assert here.Owner.get().name == "1"
    with pytest.raises(fly_orm.NotDelivered), orm.db_session(immediate=True):
        here.Owner.get()


def test_a_node_that_is_no_primary_is_an_error_of_its_own(regions: TwoRegions, here: SimpleNamespace) -> None:
    mistaken = orm.Database("postgres", **named(regions.cluster.replica, regions.name))
    fly_orm.wrap(mistaken, settings=settings("syd"))
    with (
        fly_orm.serve(mistaken, listen="127.0.0.1:0", settings=settings("syd")) as serving,
        pony_in_lax(regions, settings=settings("lax", serving.address)) as database,
        pytest.raises(fly_orm.NotPrimary),
        orm.db_session,
    ):
        database.execute("INSERT INTO owner (name) VALUES ('never')")
    mistaken.disconnect()
    assert owners(regions) == []
