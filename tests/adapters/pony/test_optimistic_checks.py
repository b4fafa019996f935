"""Pony's optimistic checks find out in lax what a db_session has read too early, and a retry reads it anew."""

from __future__ import annotations

import datetime
import decimal
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

from fly_orm.testing.contract.tools import within
from tests.support.pony_regions import LOCAL, PRIMARY, names, route, row, stale
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport


CHECKED = {
    "name": ("'theirs'", "mine"),
    "n": ("100", 2),
    "price": ("100", decimal.Decimal(2)),
    "day": ("'2000-01-01'", datetime.date(2001, 1, 1)),
    "at": ("'2000-01-01'", datetime.datetime(2001, 1, 1)),
    "uid": (f"'{uuid.UUID(int=1)}'", uuid.UUID(int=2)),
    "raw": ("'theirs'", b"mine"),
    "long": ("'theirs'", "mine"),
    "slow": ("'theirs'", "mine"),
    "data": ("""'{"a": 1}'""", {"a": 2}),
    "ints": ("'{1}'", [2]),
    "words": ("'{theirs}'", ["mine"]),
    "owner": ("2", None),
}


@pytest.mark.parametrize("attribute", CHECKED)
def test_a_write_after_a_stale_read_is_an_error(regions: TwoRegions, here: SimpleNamespace, attribute: str) -> None:
    theirs, mine = CHECKED[attribute]
    with orm.db_session:
        here.Owner(name="1")
        here.Owner(name="2")
        here.Thing[1].owner = here.Owner[1]
    with pytest.raises(orm.OptimisticCheckError, match=attribute), orm.db_session:
        with stale(regions, f"UPDATE thing SET {attribute} = {theirs}"):
            thing = here.Thing.get(id=1)
            getattr(thing, attribute)
            assert route() is LOCAL
        setattr(thing, attribute, mine)
    assert regions.query(f"SELECT {attribute} = {theirs} FROM thing")


def test_an_attribute_that_was_only_asked_about_is_checked(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.OptimisticCheckError, match="n"), orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            thing = here.Thing.get(n=1)
        thing.weight = 2.0


def test_a_row_that_is_gone_is_an_error(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(orm.OptimisticCheckError), orm.db_session:
        with stale(regions, "DELETE FROM thing"):
            thing = here.Thing.get(name="first")
        thing.n += 1
    assert names(regions) == []


def test_a_check_after_a_commit_in_the_middle_is_against_what_was_committed(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        thing = here.Thing.get()
        thing.n += 1
        orm.commit()
        thing.n += 1
        orm.commit()
        assert regions.query("SELECT n FROM thing") == 3
        regions.query("UPDATE thing SET n = 100")
        thing.n += 1
        with pytest.raises(orm.OptimisticCheckError, match=r"n \(3 -> 100\)"):
            orm.flush()
        orm.rollback()


NOT_CHECKED: dict[str, tuple[Any, Any]] = {
    "weight": (lambda thing: setattr(thing, "weight", (thing.weight or 0) + 1.5), 1.5),
    "seen": (lambda thing: setattr(thing, "seen", (thing.seen or 0) + 1), 1),
    "free": (lambda thing: setattr(thing, "free", (thing.free or 0) + 1), 1),
    "n": (lambda thing: setattr(thing, "n", 7), 7),
}


@pytest.mark.parametrize("attribute", NOT_CHECKED)
def test_what_pony_does_not_check_is_overwritten(regions: TwoRegions, here: SimpleNamespace, attribute: str) -> None:
    """A float, a volatile one, one with optimistic=False, and any that is written without having been read."""
    change, stored = NOT_CHECKED[attribute]
    with orm.db_session:
        with stale(regions, f"UPDATE thing SET {attribute} = 100"):
            thing = here.Thing[1]
            if attribute != "n":
                getattr(thing, attribute)
        change(thing)
    assert regions.query(f"SELECT {attribute} FROM thing") == stored


@pytest.mark.parametrize("theirs", ["UPDATE thing SET n = 100", "DELETE FROM thing"])
def test_deleting_what_was_changed_or_deleted_meanwhile_passes(
    regions: TwoRegions, here: SimpleNamespace, theirs: str
) -> None:
    with orm.db_session:
        with stale(regions, theirs):
            thing = here.Thing.get(name="first")
            assert thing.n == 1
        thing.delete()
    assert names(regions) == []


def test_a_lazy_attribute_that_was_read_before_its_row_was_locked_is_overwritten(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET slow = 'theirs'"):
            assert here.Thing[1].slow == ""
        here.Thing.get_for_update(id=1).slow += "!"
    assert regions.query("SELECT slow FROM thing") == "!"


@pytest.mark.parametrize("retry", [1, 3])
def test_what_met_newer_data_does_not_read_the_older_again(
    regions: TwoRegions, lax: SimpleNamespace, retry: int
) -> None:
    attempts: list[int] = []
    with orm.db_session:
        lax.Thing(name="first", n=1)
    regions.cluster.wait_for_replica()

    @orm.db_session(retry=retry)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = lax.Thing.get()
        attempts.append(thing.n)
        thing.n += 1
        orm.flush()

    with stale(regions, "UPDATE thing SET n = 100"):
        work()
    assert attempts == [1, 100]
    assert regions.query("SELECT n FROM thing") == 101


def test_a_get_or_create_that_met_newer_data_finds_it_when_tried_again(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    attempts: list[Any] = []

    @orm.db_session(retry=1)  # type: ignore[untyped-decorator]
    def work() -> int:
        attempts.append(here.Thing.get(name="theirs"))
        thing = attempts[-1] or here.Thing(name="theirs")
        orm.flush()
        return int(thing.id)

    with stale(regions, row("theirs")):
        assert work() == 2
    assert (len(attempts), attempts[0]) == (2, None)


def test_after_such_an_attempt_other_threads_still_read_the_replica(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"):
        with pytest.raises(orm.OptimisticCheckError), orm.db_session:
            here.Thing.get().n += 1
        with orm.db_session:
            assert (here.Thing.get().n, route()) == (100, PRIMARY)
        assert within(PATIENCE, lambda: orm.db_session(lambda: (here.Thing.get().n, route()))()) == (1, LOCAL)
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert (here.Thing.get().n, route()) == (100, LOCAL)
