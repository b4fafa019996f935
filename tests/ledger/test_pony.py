"""A db_session whose flush and COMMIT are one request is recorded as one, with the results that Pony needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pony import orm

import fly_orm
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions, trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def item(regions: TwoRegions) -> Iterator[Any]:
    with pony_in_lax(regions, exactly_once=True) as database:
        made = type("Item", (database.Entity,), {"_table_": "t", "name": orm.Required(str, unique=True)})
        database.generate_mapping(check_tables=False)
        with orm.db_session:
            made(name="first")
        yield made


def names(regions: TwoRegions) -> list[str]:
    return list(regions.query("SELECT array_agg(name ORDER BY id) FROM t"))


def test_it_costs_no_more(regions: TwoRegions, item: Any) -> None:
    assert trips(regions, lambda: orm.db_session(item)(name="second")) == 1


def test_a_lost_reply_is_found_in_the_ledger_with_the_new_keys(regions: TwoRegions, item: Any) -> None:
    with orm.db_session:
        item.get(name="first").name = "changed"
        made = [item(name="a"), item(name="b")]
        regions.wan.cut_before_reply()
        orm.commit()
        assert [each.id for each in made] == [2, 3]
    assert names(regions) == ["changed", "a", "b"]


def test_one_that_failed_is_not_recorded(regions: TwoRegions, item: Any) -> None:
    with pytest.raises(orm.TransactionIntegrityError), orm.db_session:
        item(name="a")
        item(name="first")
    assert names(regions) == ["first"]
    assert regions.query("SELECT count(*) FROM fly_orm_ledger") == 1


def test_an_operation_is_executed_once(regions: TwoRegions, item: Any) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def create() -> None:
        item(name="once")

    with fly_orm.operation("order-1"):
        create()
    with pytest.raises(orm.core.UnexpectedError, match="AlreadyCommitted"), fly_orm.operation("order-1"):
        create()
    assert names(regions) == ["first", "once"]


def test_an_operation_whose_reply_is_lost_is_found_in_the_ledger(regions: TwoRegions, item: Any) -> None:
    with fly_orm.operation("order-1"), orm.db_session:
        regions.wan.cut_before_reply()
        made = item(name="once")
        orm.commit()
        assert made.id == 2
    assert names(regions) == ["first", "once"]
