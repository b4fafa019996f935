"""What a Pony application in lax sees, and what is stored, when its transaction or the answer to it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import psycopg2
import pytest
from pony import orm
from pony.orm.dbapiprovider import OperationalError

import fly_orm
from fly_orm.routing import requests
from tests.support.pony_regions import next_works, owners, shop
from tests.support.two_regions import TwoRegions, named

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def plain(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop on the primary, whose database is not wrapped."""
    database = orm.Database("postgres", **named(regions.cluster.primary, regions.name))
    yield shop(database)
    orm.rollback()
    database.disconnect()


def end_transactions(regions: TwoRegions) -> None:
    """Terminate the backends of the primary that hold transactions open in the database."""
    where = f"datname = '{regions.name}' AND state LIKE 'idle in transaction%'"
    ended = regions.cluster.primary.query(
        f"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE {where}"
    )
    assert ended == 1


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


@pytest.mark.parametrize("way", LOSSES)
def test_a_transaction_that_is_lost_between_two_writes_stores_nothing(
    regions: TwoRegions, lax: SimpleNamespace, way: str
) -> None:
    with pytest.raises(orm.core.UnexpectedError) as raised, orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        lose(regions, way)
        lax.Owner(name="2")
        orm.flush()
    original = raised.value.original_exc
    assert isinstance(original, fly_orm.TransactionLost)
    assert isinstance(original, psycopg2.OperationalError)
    assert isinstance(original, OperationalError)
    assert original.pgcode == "08006"
    assert "nothing of it was committed" in str(raised.value)
    assert owners(regions) == []
    if way != "node":
        next_works(regions, lax)


@pytest.mark.parametrize("way", ["backend", "network", "node"])
def test_a_transaction_that_is_lost_before_its_last_write_stores_nothing(
    regions: TwoRegions, lax: SimpleNamespace, way: str
) -> None:
    with pytest.raises(orm.core.CommitException, match="nothing of it was committed") as raised, orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        lose(regions, way)
        lax.Owner(name="2")
    assert isinstance(raised.value.exceptions[0][1], fly_orm.TransactionLost)
    assert owners(regions) == []


def test_plain_pony_loses_the_first_of_two_writes_in_silence(regions: TwoRegions, plain: SimpleNamespace) -> None:
    """Which is why a connection that is lost in a transaction is not replaced by another."""
    with orm.db_session:
        plain.Owner(name="1")
        orm.flush()
        end_transactions(regions)
        plain.Owner(name="2")
    assert owners(regions) == ["2"]


@pytest.mark.parametrize("way", LOSSES)
def test_what_is_executed_in_a_lost_transaction_raises_so(regions: TwoRegions, lax: SimpleNamespace, way: str) -> None:
    with pytest.raises(fly_orm.TransactionLost) as raised, orm.db_session:
        lax.db.execute("INSERT INTO owner (name) VALUES ('1')")
        lose(regions, way)
        lax.db.execute("INSERT INTO owner (name) VALUES ('2')")
    assert isinstance(raised.value, OperationalError)
    assert isinstance(raised.value, psycopg2.OperationalError)
    assert raised.value.pgcode == "08006"
    assert owners(regions) == []


@pytest.mark.parametrize("way", ["backend", "network", "node"])
def test_a_transaction_that_is_lost_before_its_commit_stores_nothing(
    regions: TwoRegions, lax: SimpleNamespace, way: str
) -> None:
    with pytest.raises(orm.core.CommitException, match="nothing of it was committed") as raised, orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        lose(regions, way)
    assert isinstance(raised.value.exceptions[0][1], fly_orm.TransactionLost)
    assert owners(regions) == []


@pytest.mark.parametrize("way", ["backend", "network"])
def test_a_lost_transaction_stays_lost_for_who_goes_on(regions: TwoRegions, lax: SimpleNamespace, way: str) -> None:
    with pytest.raises(orm.core.TransactionError), orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        lose(regions, way)
        for _ in range(2):
            with pytest.raises(fly_orm.TransactionLost):
                lax.db.execute("INSERT INTO owner (name) VALUES ('2')")
    assert owners(regions) == []
    next_works(regions, lax)


@pytest.mark.parametrize("way", ["backend", "network"])
def test_a_lost_transaction_that_is_rolled_back_can_be_begun_again(
    regions: TwoRegions, lax: SimpleNamespace, way: str
) -> None:
    with orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        lose(regions, way)
        orm.rollback()
        lax.Owner(name="2")
    assert owners(regions) == ["2"]


def test_a_lost_transaction_is_tried_again_as_a_whole(regions: TwoRegions, lax: SimpleNamespace) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        lax.Owner(name="1")
        orm.flush()
        if len(attempts) == 1:
            end_transactions(regions)
        lax.Owner(name="2")

    work()
    assert (len(attempts), owners(regions)) == (2, ["1", "2"])


def test_a_first_statement_without_an_answer_is_not_executed_twice(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with pytest.raises(orm.core.UnexpectedError) as raised, orm.db_session:
        regions.wan.cut_before_reply()
        lax.Owner(name="1")
        orm.flush()
    assert isinstance(raised.value.original_exc, fly_orm.TransactionLost)
    assert regions.query("SELECT last_value FROM owner_id_seq") == 1
    assert owners(regions) == []
    next_works(regions, lax)


def test_a_last_write_without_an_answer_has_the_unknown_outcome_of_a_commit(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    with pytest.raises(orm.core.CommitException, match="may have been executed") as raised, orm.db_session:
        regions.wan.cut_before_reply()
        lax.Owner(name="1")
    assert isinstance(raised.value.exceptions[0][1], fly_orm.OutcomeUnknown)
    assert owners(regions) == ["1"]
    next_works(regions, lax, "1")


def test_a_last_change_without_an_answer_is_found_out(regions: TwoRegions, lax: SimpleNamespace) -> None:
    """All that Pony would have learnt from the answer is that it was committed, and so was as expected."""
    with orm.db_session:
        owner = lax.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()
        owner.name = "2"
    assert owners(regions) == ["2"]


def test_a_key_without_an_answer_is_an_error_that_is_not_tried_again(regions: TwoRegions, lax: SimpleNamespace) -> None:
    @orm.db_session(retry=3)  # type: ignore[untyped-decorator]
    def work() -> None:
        lax.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()
        lax.Owner(name="2")

    with pytest.raises(fly_orm.ResultLost, match="was executed"):
        work()
    assert owners(regions) == ["1", "2"]
    next_works(regions, lax, "1", "2")


def test_a_function_that_writes_outside_of_a_transaction_is_not_executed_twice(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    regions.query(
        "CREATE FUNCTION add() RETURNS int LANGUAGE sql AS 'INSERT INTO owner (name) VALUES (''x'') RETURNING id'"
    )
    regions.cluster.wait_for_replica()
    with pytest.raises(fly_orm.OutcomeUnknown), orm.db_session:
        regions.wan.cut_before_reply()
        lax.db.select("add()")
    assert owners(regions) == ["x"]


def test_a_commit_without_an_answer_is_found_out(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()
    assert owners(regions) == ["1"]
    next_works(regions, lax, "1")


@pytest.fixture
def nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a synchronous standby, nobody asks what became of a COMMIT."""
    monkeypatch.setattr(requests, "_is_limited", lambda statement, transaction: False)


@pytest.mark.usefixtures("nobody_tells")
def test_a_commit_that_nobody_can_tell_of_has_an_unknown_outcome(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with pytest.raises(orm.core.CommitException, match="may have been executed") as raised, orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()
    assert isinstance(raised.value.exceptions[0][1], fly_orm.OutcomeUnknown)
    assert owners(regions) == ["1"]
    next_works(regions, lax, "1")


@pytest.mark.usefixtures("nobody_tells")
def test_a_commit_of_unknown_outcome_can_be_kept_from_being_tried_again(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    attempts: list[int] = []

    def may_retry(error: BaseException) -> bool:
        first = getattr(error, "exceptions", [(None, error, None)])[0][1]
        return isinstance(error, orm.core.TransactionError) and not isinstance(first, fly_orm.OutcomeUnknown)

    @orm.db_session(retry=2, retry_exceptions=may_retry)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        lax.Owner(name="1")
        orm.flush()
        regions.wan.cut_before_reply()

    with pytest.raises(orm.core.CommitException):
        work()
    assert (len(attempts), owners(regions)) == (1, ["1"])


def test_a_commit_that_the_primary_refuses_is_an_error_with_its_sqlstate(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    regions.query("ALTER TABLE owner ADD CONSTRAINT once UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(orm.core.CommitException) as raised, orm.db_session:
        lax.Owner(name="1")
        lax.Owner(name="1")
    cause = raised.value.exceptions[0][1]
    assert isinstance(cause, orm.IntegrityError)
    assert cause.original_exc.pgcode == "23505"
    assert owners(regions) == []
    next_works(regions, lax)
