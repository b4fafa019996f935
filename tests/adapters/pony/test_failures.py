"""What a Pony application in lax sees, and what is stored, when its replica or every node fails it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from pony import orm
from pony.orm.dbapiprovider import OperationalError

import fly_orm
from fly_orm.testing.contract.tools import within
from tests.project.test_snippets import snippet
from tests.support.pony_regions import LOCAL, PRIMARY, next_works, owners, pony_in_lax, route
from tests.support.two_regions import TwoRegions, named, settings
from tests.support.waiting import PATIENCE


def end_here(lax: SimpleNamespace) -> None:
    """Terminate this thread's backend on the replica."""
    pid = lax.db.provider.pool.con.get_backend_pid()
    with psycopg2.connect(**lax.db.provider.pool.kwargs) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert cursor.fetchone() == (True,)
    connection.close()


def test_a_replica_that_is_late_does_not_make_a_commit_fail(
    regions: TwoRegions, lax: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        lax.Owner(name="once")

    with regions.cluster.replay_paused(), caplog.at_level(logging.WARNING, "fly_orm"):
        work()
        assert (len(attempts), owners(regions)) == (1, ["once"])
        assert "is read on the primary" in caplog.text
        with orm.db_session:
            assert lax.Owner.get().name == "once"
            assert route() is PRIMARY
        assert within(PATIENCE, lambda: orm.db_session(lambda: orm.count(o for o in lax.Owner))()) == 0
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert lax.Owner.get().name == "once"
        assert route() is LOCAL


def test_a_replica_that_is_late_does_not_make_a_commit_in_the_middle_fail(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    with regions.cluster.replay_paused(), orm.db_session:
        owner = lax.Owner(name="1")
        orm.commit()
        assert [o.name for o in lax.Owner.select()] == ["1"]
        assert route() is PRIMARY
        owner.name = "2"
    assert owners(regions) == ["2"]


def test_a_replica_that_stops_does_not_make_a_commit_fail(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        regions.cluster.replica.stop("immediate")
        orm.commit()
        assert owners(regions) == ["1"]
        regions.cluster.replica.start()
        orm.rollback()
    next_works(regions, lax, "1")


def test_between_two_reads_a_dead_connection_is_replaced(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with orm.db_session:
        lax.Owner(name="1")
    with orm.db_session:
        assert orm.count(o for o in lax.Owner) == 1
        before = lax.db.provider.pool.con
        end_here(lax)
        assert [o.name for o in lax.Owner.select()] == ["1"]
        assert route() is LOCAL
        assert lax.db.provider.pool.con is not before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_dies_around_a_commit_does_not_make_it_fail(
    regions: TwoRegions, lax: SimpleNamespace, when: str
) -> None:
    attempts: list[int] = []

    @orm.db_session(retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        attempts.append(1)
        lax.Owner(name="once")
        orm.flush()
        if when == "before":
            end_here(lax)
        else:
            orm.commit()
            end_here(lax)

    work()
    assert (len(attempts), owners(regions)) == (1, ["once"])
    next_works(regions, lax, "once")


def test_a_connection_that_dies_while_its_transaction_is_rolled_back_raises_the_error_of_the_user(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    with pytest.raises(ZeroDivisionError), orm.db_session:
        lax.Owner(name="1")
        orm.flush()
        end_here(lax)
        raise ZeroDivisionError
    assert owners(regions) == []
    next_works(regions, lax)


def test_a_connection_that_dies_after_a_commit_in_the_middle_is_replaced_for_reading(
    regions: TwoRegions, lax: SimpleNamespace
) -> None:
    with orm.db_session:
        lax.Owner(name="1")
        orm.commit()
        end_here(lax)
        assert orm.count(o for o in lax.Owner) == 1
        assert route() is LOCAL


def test_a_write_in_a_session_whose_connection_has_died_is_stored(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with orm.db_session:
        assert orm.count(o for o in lax.Owner) == 0
        end_here(lax)
        lax.Owner(name="1")
        orm.flush()
        orm.commit()
        assert owners(regions) == ["1"]
        orm.rollback()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["flush", "commit"])
def test_a_write_that_reaches_no_node_says_so(regions: TwoRegions, lax: SimpleNamespace, how: str) -> None:
    attempts = []
    regions.wan.cut()
    with pytest.raises(orm.core.UnexpectedError, match="NotDelivered") as raised, orm.db_session:
        attempts.append(lax.Owner(name="never"))
        getattr(orm, how)()
    assert isinstance(raised.value.original_exc, fly_orm.NotDelivered)
    regions.wan.heal()
    assert owners(regions) == []
    next_works(regions, lax)


def new(lax: SimpleNamespace) -> None:
    lax.Owner(name="new")


def changed(lax: SimpleNamespace) -> None:
    lax.Owner.get().name = "changed"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("work", "fault", "raised", "cause"),
    [
        (new, "cut", orm.UnexpectedError, fly_orm.NotDelivered),
        (changed, "cut", fly_orm.NotDelivered, fly_orm.NotDelivered),
        (new, "cut_before_reply", orm.CommitException, fly_orm.OutcomeUnknown),
        (changed, "cut_before_reply", orm.CommitException, fly_orm.OutcomeUnknown),
    ],
)
def test_the_page_finds_the_error_in_whatever_pony_raises(
    regions: TwoRegions, lax: SimpleNamespace, work: Callable[[Any], None], fault: str, raised: type, cause: type
) -> None:
    page: dict[str, Any] = {"orm": orm}
    exec(snippet("pony.md", "python", "def cause_of").partition("\ntry:")[0], page)
    with orm.db_session:
        lax.Owner(name="before")
    with pytest.raises((fly_orm.FlyOrmError, orm.UnexpectedError, orm.CommitException)) as caught, orm.db_session:
        getattr(regions.wan, fault)()
        work(lax)
    assert isinstance(caught.value, raised)
    assert isinstance(page["cause_of"](caught.value), cause)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "work",
    [
        lambda lax: lax.db.execute("INSERT INTO owner (name) VALUES ('never')"),
        lambda lax: lax.db.insert("owner", name="never"),
        lambda lax: lax.Thing.get_for_update(name="x"),
        lambda lax: lax.Owner.select().delete(bulk=True),
    ],
    ids=["execute", "insert", "get_for_update", "bulk delete"],
)
def test_a_statement_that_reaches_no_node_says_so(
    regions: TwoRegions, lax: SimpleNamespace, work: Callable[[Any], Any]
) -> None:
    regions.wan.cut()
    with pytest.raises(fly_orm.NotDelivered) as raised, orm.db_session:
        work(lax)
    assert isinstance(raised.value, OperationalError)
    assert isinstance(raised.value, psycopg2.OperationalError)
    regions.wan.heal()
    assert owners(regions) == []
    next_works(regions, lax)


@pytest.mark.usefixtures("impatient")
def test_reads_need_no_node(regions: TwoRegions, lax: SimpleNamespace) -> None:
    with orm.db_session:
        lax.Owner(name="1")
    regions.wan.cut()
    with orm.db_session:
        assert lax.Owner.get().name == "1"
    with pytest.raises(fly_orm.NotDelivered), orm.db_session(immediate=True):
        lax.Owner.get()


def test_a_node_that_is_no_primary_is_an_error_of_its_own(regions: TwoRegions, lax: SimpleNamespace) -> None:
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
