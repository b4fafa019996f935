"""Rows that a db_session locks, or reads again in its transaction."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

from tests.support.pony_regions import PRIMARY, names, route, stale
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.over_every_transport


def test_a_locked_row_is_read_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100, weight = 1.5"):
            thing = here.Thing.get_for_update(id=1)
            assert (thing.n, route()) == (100, PRIMARY)
        thing.n += 1
        thing.weight += 1
    assert regions.query("SELECT n::text || ' ' || weight FROM thing") == "101 2.5"


def test_locked_rows_are_read_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Owner(name="mine")
    with orm.db_session:
        with stale(regions, "UPDATE owner SET name = 'theirs'"):
            [owner] = here.Owner.select().for_update()
            assert (owner.name, route()) == ("theirs", PRIMARY)
        owner.name += "!"
    assert names(regions, "owner") == ["theirs!"]


def test_a_locked_row_is_locked_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing.get_for_update(id=1)
        assert regions.query("SELECT count(*) FROM (SELECT FROM thing FOR UPDATE SKIP LOCKED) free") == 0
    assert regions.query("SELECT count(*) FROM (SELECT FROM thing FOR UPDATE SKIP LOCKED) free") == 1


@pytest.mark.parametrize(
    "lock",
    [lambda s: s.Owner.get_for_update(id=1), lambda s: s.Owner.select().for_update()[:]],
    ids=["get_for_update", "for_update"],
)
def test_locking_a_row_that_was_read_too_early_is_an_error(
    regions: TwoRegions, here: SimpleNamespace, lock: Callable[[Any], Any]
) -> None:
    with orm.db_session:
        here.Owner(name="mine")
    with pytest.raises(orm.UnrepeatableReadError, match="name"), orm.db_session:
        with stale(regions, "UPDATE owner SET name = 'theirs'"):
            assert here.Owner[1].name == "mine"
        lock(here)


def test_reading_again_in_the_transaction_what_has_changed_is_an_error(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with pytest.raises(orm.UnrepeatableReadError, match="n"), orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            assert here.Thing[1].n == 1
        here.Owner(name="x")
        here.Thing.select()[:]


def test_reading_in_the_transaction_refreshes_what_has_not_been_read(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        with stale(regions, "UPDATE thing SET n = 100"):
            thing = here.Thing[1]
            assert here.Thing.select()[:] == [thing]
        here.Owner(name="x")
        assert here.Thing.select()[:] == [thing]
        assert route() is PRIMARY
        assert thing.n == 100
