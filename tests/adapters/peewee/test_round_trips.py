"""What peewee's methods cost in lax, in round trips; docs/peewee.md has the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest

from tests.support.two_regions import TwoRegions, trips

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def item(regions: TwoRegions) -> Any:
    """A model in lax, with 100 rows, whose database has an open channel."""
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE, n int DEFAULT 0)")
    regions.cluster.wait_for_replica()
    database = regions.lax()

    class Item(peewee.Model):
        name = peewee.TextField(unique=True)
        n = peewee.IntegerField(default=0)

        class Meta:
            table_name = "item"

    Item.bind(database)
    Item.insert_many([(f"row {number}",) for number in range(100)], [Item.name]).execute()
    return Item


def changed(item: Any) -> list[Any]:
    found = list(item.select())
    for each in found:
        each.n += 1
    return found


def in_atomic(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def within(item: Any) -> None:
        with item._meta.database.atomic():
            work(item)

    return within


CASES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "create": (lambda item: item.create(name="new"), 1),
    "save": (lambda item: item.get_by_id(1).save(), 1),
    "delete_instance": (lambda item: item.get_by_id(1).delete_instance(), 1),
    "update": (lambda item: item.update(n=1).execute(), 1),
    "create in atomic()": (in_atomic(lambda item: item.create(name="new")), 2),
    "update in atomic()": (in_atomic(lambda item: item.update(n=1).execute()), 2),
    "get_or_create, exists": (lambda item: item.get_or_create(name="row 1"), 0),
    "get_or_create, new": (lambda item: item.get_or_create(name="new"), 2),
    "get_or_create, exists, in atomic()": (in_atomic(lambda item: item.get_or_create(name="row 1")), 2),
    "get_or_create, new, in atomic()": (in_atomic(lambda item: item.get_or_create(name="new")), 3),
    "insert_many": (lambda item: item.insert_many([(f"{n}",) for n in range(1000)], [item.name]).execute(), 1),
    "bulk_create": (lambda item: item.bulk_create([item(name=f"{n}") for n in range(100)]), 1),
    "bulk_create, batches": (lambda item: item.bulk_create([item(name=f"{n}") for n in range(100)], batch_size=20), 5),
    "bulk_update": (lambda item: item.bulk_update(changed(item), [item.n]), 1),
    "bulk_update, batches": (lambda item: item.bulk_update(changed(item), [item.n], batch_size=20), 5),
    "bulk_update in atomic()": (
        in_atomic(lambda item: item.bulk_update(list(item.select()), [item.n], batch_size=20)),
        7,
    ),
}


@pytest.mark.parametrize(("work", "expected"), CASES.values(), ids=CASES)
def test_what_a_method_costs(regions: TwoRegions, item: Any, work: Callable[[Any], Any], expected: int) -> None:
    assert trips(regions, lambda: work(item)) == expected
