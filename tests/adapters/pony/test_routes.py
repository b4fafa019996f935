"""Where the statements of a db_session run in lax, and what they cost in round trips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

import fly_orm
from tests.support.pony_regions import LOCAL, PRIMARY, names, pony_in_lax, route, shop, stale
from tests.support.two_regions import TwoRegions, trips, two_regions

pytestmark = [pytest.mark.over_every_transport, pytest.mark.usefixtures("no_spare_channels")]


def test_reads_are_local_until_the_first_write_and_remote_until_the_commit(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        assert here.Thing.get(name="first").n == 1
        assert route() is LOCAL
        here.Thing(name="second")
        assert orm.count(t for t in here.Thing) == 2
        assert route() is PRIMARY
        assert here.db.select("name FROM thing ORDER BY id") == ["first", "second"]
        assert route() is PRIMARY
        assert names(regions) == ["first"]
        orm.commit()
        assert names(regions) == ["first", "second"]
        assert here.db.select("name FROM thing ORDER BY id") == ["first", "second"]
        assert route() is LOCAL
        here.Thing(name="third")
        orm.flush()
        assert route() is PRIMARY
    assert names(regions) == ["first", "second", "third"]


def test_reads_after_a_session_that_has_written_are_local_and_see_it(here: SimpleNamespace) -> None:
    for number in range(20):
        with orm.db_session:
            here.Thing(name=str(number))
        with orm.db_session:
            assert here.Thing.get(name=str(number)) is not None
            assert route() is LOCAL


def test_after_a_rollback_in_the_middle_reads_are_local_again(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing(name="never")
        orm.flush()
        orm.rollback()
        regions.cluster.wait_for_replica()
        assert orm.count(t for t in here.Thing) == 1
        assert route() is LOCAL
        here.Thing(name="second")
    assert names(regions) == ["first", "second"]


def test_an_error_rolls_the_session_back(regions: TwoRegions, here: SimpleNamespace) -> None:
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.Thing(name="never")
        orm.flush()
        raise ZeroDivisionError
    assert names(regions) == ["first"]
    with pytest.raises(ZeroDivisionError), orm.db_session(allowed_exceptions=[ZeroDivisionError]):
        here.Thing(name="second")
        raise ZeroDivisionError
    assert names(regions) == ["first", "second"]


KINDS = [
    {"immediate": True},
    {"serializable": True},
    {"ddl": True},
    {"optimistic": False},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_session_that_nothing_would_tell_of_stale_reads_runs_on_the_primary(
    regions: TwoRegions, here: SimpleNamespace, options: dict[str, Any]
) -> None:
    @orm.db_session(**options)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get(name="first")
        assert (thing.n, route()) == (100, PRIMARY)
        here.db.select("1")
        assert route() is PRIMARY
        thing.n += 1
        orm.commit()
        assert orm.count(t for t in here.Thing) == 1
        assert route() is PRIMARY
        assert here.db.exists("SELECT 1 FROM thing")
        assert route() is PRIMARY

    regions.query("UPDATE thing SET n = 100")
    work()
    assert regions.query("SELECT n FROM thing") == 101
    with orm.db_session:
        assert here.Thing.get().n == 101
        assert route() is LOCAL


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_such_a_session_reads_what_the_replica_has_not_heard_of(
    regions: TwoRegions, here: SimpleNamespace, options: dict[str, Any]
) -> None:
    @orm.db_session(**options)  # type: ignore[untyped-decorator]
    def work() -> int:
        return int(here.Thing.get().n)

    with stale(regions, "UPDATE thing SET n = 100"):
        assert orm.db_session(lambda: here.Thing.get().n)() == 1
        assert work() == 100


def test_a_serializable_session_is_one_on_the_primary_and_again_after_a_commit(here: SimpleNamespace) -> None:
    @orm.db_session(serializable=True)  # type: ignore[untyped-decorator]
    def work() -> list[Any]:
        seen = [here.db.select("current_setting('transaction_isolation')")[0]]
        here.Thing(name="second")
        orm.commit()
        return [*seen, here.db.select("current_setting('transaction_isolation')")[0]]

    assert work() == ["serializable", "serializable"]


def test_a_serialization_failure_is_tried_again(regions: TwoRegions, here: SimpleNamespace) -> None:
    attempts: list[int] = []

    @orm.db_session(serializable=True, retry=2)  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get()
        attempts.append(thing.n)
        if len(attempts) == 1:
            regions.query("UPDATE thing SET n = 100")
        thing.n += 1

    work()
    assert attempts == [1, 100]
    assert regions.query("SELECT n FROM thing") == 101


def test_a_strict_session_reads_the_replica(here: SimpleNamespace) -> None:
    with orm.db_session(strict=True):
        assert here.Thing.get().n == 1
        assert route() is LOCAL
        here.Thing(name="second")
    with orm.db_session(strict=True):
        assert orm.count(t for t in here.Thing) == 2


def test_inside_a_primary_block_a_session_reads_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"):
        with orm.db_session:
            assert here.Thing.get().n == 1
        with fly_orm.primary(), orm.db_session:
            assert here.Thing.get().n == 100
            assert route() is PRIMARY
        with orm.db_session:  # what has been read is not followed by anything older
            assert here.Thing.get().n == 100
        with fly_orm.replica(), orm.db_session:
            assert here.Thing.get().n == 1


def test_a_session_that_reads_costs_no_round_trips(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> None:
        thing = here.Thing.get(name="first")
        assert (list(thing.parts), list(thing.tags), thing.slow) == ([], [], "")
        assert orm.count(t for t in here.Thing) == 1
        assert here.db.select("count(*) FROM thing") == [1]
        assert here.db.get("SELECT name FROM thing") == "first"
        assert here.db.exists("SELECT 1 FROM thing")
        assert route() is LOCAL

    assert trips(regions, work) == 0


@pytest.mark.parametrize(("reads", "writes"), [(0, 1), (3, 1), (1, 4), (0, 50)])
def test_a_session_that_writes_at_its_end_costs_one(
    regions: TwoRegions, here: SimpleNamespace, reads: int, writes: int
) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def work() -> None:
        for _ in range(reads):
            assert here.db.select("count(*) FROM thing") == [1]
        for number in range(writes):
            here.Thing(name=str(number))

    assert trips(regions, work) == 1
    assert names(regions) == ["first", *map(str, range(writes))]


def change_all(here: SimpleNamespace) -> None:
    for thing in here.Thing.select():
        thing.n += 1


def flush_and_write(here: SimpleNamespace) -> None:
    here.Thing(name="x")
    orm.flush()
    here.Thing(name="y")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda s: setattr(s.Thing[1], "n", 2), 1),
        (lambda s: s.Thing[1].delete(), 1),
        (lambda s: s.Thing[1].set(n=2, weight=1.5), 1),
        (change_all, 1),
        (lambda s: s.Owner(name="x", things=s.Thing.select()), 2),
        (flush_and_write, 2),
        (lambda s: (s.Thing(name="x"), s.db.commit()), 1),
        (lambda s: (s.Thing(name="x"), orm.commit(), s.Thing(name="y")), 2),
        (lambda s: s.db.insert("owner", name="x"), 2),
        (lambda s: s.db.insert("owner", name="x", returning="id"), 2),
        (lambda s: s.db.execute("UPDATE thing SET n = 2"), 2),
        (lambda s: s.Thing.select().delete(bulk=True), 2),
        (lambda s: s.Thing.get_for_update(name="first"), 2),
        (lambda s: orm.rollback(), 0),
        (lambda s: s.Thing(name="x") and orm.rollback(), 0),
        (lambda s: (s.Thing(name="x"), orm.commit(), s.db.select("1"), orm.commit()), 1),
        (lambda s: (s.Thing(name="x"), orm.flush(), orm.rollback()), 2),
        (lambda s: s.Thing[1].tags.add([s.Tag(name=str(n)) for n in range(5)]), 2),
        (lambda s: [s.Owner(name="x", things=[s.Thing(name=f"of {n}")]) for n in range(4)], 5),
        (lambda s: [s.Tag(name=str(n)) for n in range(2100)], 3),
    ],
    ids=[
        "update", "delete", "set", "update twenty", "new owners", "flush", "db.commit()", "commit", "insert",
        "insert returning", "execute", "bulk delete", "get_for_update", "rollback", "rollback unflushed",
        "commit twice", "rollback flushed", "many to many", "owners by turns", "thousands",
    ],
)  # fmt: skip
def test_what_a_session_costs(
    regions: TwoRegions, here: SimpleNamespace, write: Callable[[Any], Any], expected: int
) -> None:
    with orm.db_session:
        for number in range(19):
            here.Thing(name=f"one of twenty: {number}")
    assert trips(regions, lambda: orm.db_session(write)(here)) == expected


def test_requests_have_no_more_elements_than_a_node_takes(cluster: Any, database: str) -> None:
    with ExitStack() as undo:
        regions = undo.enter_context(two_regions(cluster, database, max_elements=1024))
        lax = undo.enter_context(pony_in_lax(regions, settings=regions.lax_settings(max_elements=1024)))
        here = shop(lax)

        def create_all() -> None:
            with orm.db_session:
                for number in range(130):
                    here.Tag(name=str(number))

        create_all()
        assert trips(regions, create_all) == 3  # of 64 statements each
        create_all()
        with orm.db_session:
            here.Tag.select()[:]  # more ids than a request may mention
            here.Tag(name="one"), here.Tag(name="two")
        assert regions.query("SELECT count(*) FROM tag") == 392
