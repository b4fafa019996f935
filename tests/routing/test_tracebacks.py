"""An error prints as many tracebacks as it does without fly_orm, in both regions, and says each thing once."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from pony import orm

import fly_orm
from tests.support.pony_regions import pony_in_lax, shop
from tests.support.two_regions import TwoRegions, settings

_TRACEBACK = "Traceback (most recent call last)"


def printed(error: type[BaseException], work: Callable[[], object]) -> str:
    """What Python prints of the error that the work raises."""
    with pytest.raises(error) as raised:
        work()
    return "".join(traceback.format_exception(raised.value))


def items(database: Any) -> Any:
    class Item(peewee.Model):
        name = peewee.TextField(unique=True)

        class Meta:
            pass

    Item.bind(database)
    return Item


@pytest.fixture(params=["lax", "syd"])
def region(request: pytest.FixtureRequest) -> str:
    region: str = request.param
    return region


def test_of_a_write_with_peewee(regions: TwoRegions, region: str) -> None:
    """peewee raises its own error from psycopg2's, which is another traceback."""
    plain, wrapped = items(regions.plain()), items(getattr(regions, region)())
    plain._meta.database.create_tables([plain])
    regions.cluster.wait_for_replica()
    plain.create(name="taken")
    ours = printed(peewee.IntegrityError, lambda: wrapped.create(name="taken"))
    usual = printed(peewee.IntegrityError, lambda: plain.create(name="taken"))
    assert ours.count(_TRACEBACK) == usual.count(_TRACEBACK)
    assert ours.count("duplicate key value") == usual.count("duplicate key value")


@pytest.fixture
def tables(regions: TwoRegions, region: str) -> Iterator[Any]:
    """The entities of a shop in a region."""
    there = {"server": regions.cluster.primary, "settings": settings("syd")} if region == "syd" else {}
    with pony_in_lax(regions, **there) as database:
        yield shop(database)


@pytest.mark.parametrize("flushes", [True, False])
def test_of_a_write_with_pony(tables: Any, flushes: bool) -> None:
    def work() -> None:
        with orm.db_session:
            for name in ("a", "b"):
                tables.Thing(name=name)
            if flushes:
                orm.flush()

    work()
    shown = printed(orm.TransactionIntegrityError, work)
    assert shown.count(_TRACEBACK) == 1
    assert shown.count("duplicate key value") == 1


@pytest.mark.usefixtures("no_spare_channels", "impatient")
def test_of_a_function(regions: TwoRegions) -> None:
    """That of the node is a note."""
    fly_orm.configure(regions.lax_settings())
    regions.lax()
    shown = printed(ValueError, lambda: refuse("nobody"))
    own, _, there = shown.partition("Traceback on another node:")
    assert (own.count(_TRACEBACK), there.count(_TRACEBACK)) == (1, 1)
    assert 'raise ValueError(f"not {name}")' in there
    regions.wan.cut()
    assert printed(fly_orm.NotDelivered, lambda: refuse("nobody")).count(_TRACEBACK) == 1


@fly_orm.on_primary
def refuse(name: str) -> None:
    raise ValueError(f"not {name}")
