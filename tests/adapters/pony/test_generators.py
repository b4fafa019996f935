"""Generators that are a db_session each, and are suspended in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

from tests.support.pony_regions import LOCAL, names, route
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.over_every_transport


def test_a_suspended_generator_goes_on_where_it_was(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[Any]:
        thing = here.Thing.get(name="first")
        yield thing.n, route()
        yield orm.count(t for t in here.Thing), route()
        thing.n += 1
        orm.commit()
        yield here.db.select("n FROM thing WHERE name = 'first'")[0], None
        thing.n += 1

    steps = work()
    assert next(steps) == (1, LOCAL)
    with orm.db_session:
        here.Thing(name="second")
    with orm.db_session(optimistic=False):
        assert orm.count(t for t in here.Thing) == 2
    assert next(steps) == (2, LOCAL)
    with pytest.raises(orm.core.TransactionError, match="commit"):
        next(steps)
    assert regions.query("SELECT n FROM thing WHERE name = 'first'") == 2


def test_a_suspended_generator_may_have_written_and_committed(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[int]:
        thing = here.Thing.get(name="first")
        while True:
            thing.n += 1
            orm.commit()
            yield thing.n

    steps = work()
    for number in range(2, 6):
        assert next(steps) == number
        assert regions.query("SELECT n FROM thing WHERE name = 'first'") == number
        with orm.db_session:
            here.Thing(name=str(number))
        with orm.db_session:
            assert here.Thing.get(name="first").n == number
            assert route() is LOCAL
    steps.close()


def test_a_generator_may_not_be_suspended_with_what_is_not_committed(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> Iterator[None]:
        here.Thing(name="never")
        orm.flush()
        yield

    with pytest.raises(orm.core.TransactionError, match="commit"):
        next(work())
    assert names(regions) == ["first"]


def test_two_generators_take_turns(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work(name: str) -> Iterator[int]:
        for number in range(3):
            here.Thing(name=f"{name}{number}")
            orm.commit()
            yield number

    assert list(zip(work("a"), work("b"), strict=True)) == [(0, 0), (1, 1), (2, 2)]
    assert names(regions) == ["first", "a0", "b0", "a1", "b1", "a2", "b2"]
