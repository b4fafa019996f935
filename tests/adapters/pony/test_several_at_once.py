"""Several db_sessions at once: within one another, of several databases, in threads and in forked processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from pony import orm

from fly_orm.sessions.context import enter
from fly_orm.sessions.session import Session
from fly_orm.testing.contract.tools import within
from tests.support import two_regions
from tests.support.pony_regions import LOCAL, PRIMARY, names, route, shop
from tests.support.two_regions import TwoRegions, named
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport


def test_a_session_inside_another_is_part_of_it(regions: TwoRegions, here: SimpleNamespace) -> None:
    @orm.db_session  # type: ignore[untyped-decorator]
    def inner() -> None:
        here.Thing(name="inner")
        orm.flush()

    with orm.db_session:
        here.Thing(name="outer")
        inner()
        assert route() is PRIMARY
        with orm.db_session(optimistic=False):
            assert orm.count(t for t in here.Thing) == 3
        assert names(regions) == ["first"]
    assert names(regions) == ["first", "outer", "inner"]


def test_several_databases_in_one_session_each_keep_to_their_own(regions: TwoRegions, here: SimpleNamespace) -> None:
    other = f"{regions.name}_b"
    regions.cluster.create_database(other)
    regions.cluster.wait_for_replica()
    second = orm.Database("postgres", **named(regions.cluster.primary, other))
    made = shop(second)
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert here.Thing.get().n == 1
        here.Thing(name="here")
        made.Owner(name="there")
        assert orm.count(o for o in made.Owner) == 1
        assert orm.count(t for t in here.Thing) == 2
        assert route() is PRIMARY
    assert names(regions) == ["first", "here"]
    with orm.db_session:
        assert here.Thing.get(name="here") is not None
        assert route() is LOCAL
        assert made.Owner.get().name == "there"
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.Thing(name="never")
        made.Owner(name="never")
        orm.flush()
        raise ZeroDivisionError
    assert names(regions) == ["first", "here"]
    second.disconnect()
    regions.cluster.drop_database(other)


def test_threads_read_what_they_have_written(here: SimpleNamespace) -> None:
    def work(thread: int) -> int:
        enter(Session())
        local = 0
        for number in range(20):
            with orm.db_session:
                here.Thing(name=f"{thread} {number}")
            with orm.db_session:
                assert here.Thing.get(name=f"{thread} {number}") is not None
                local += route() is LOCAL
        here.db.disconnect()
        return local

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [20] * 8
    with orm.db_session:
        assert orm.count(t for t in here.Thing) == 161


def test_a_thread_has_a_connection_and_a_transaction_of_its_own(regions: TwoRegions, here: SimpleNamespace) -> None:
    def other() -> int:
        with orm.db_session:
            here.Thing(name="other")
        with orm.db_session:
            counted = orm.count(t for t in here.Thing)
        here.db.disconnect()
        return int(counted)

    with orm.db_session:
        here.Thing(name="mine")
        orm.flush()
        assert within(PATIENCE, other) == 2
        assert names(regions) == ["first", "other"]
    assert names(regions) == ["first", "mine", "other"]


def test_a_forked_child_leaves_its_parents_transaction_alone(regions: TwoRegions, here: SimpleNamespace) -> None:
    two_regions.way.require_processes()
    with orm.db_session:
        here.Thing(name="parent")
        orm.flush()
        child = os.fork()
        if child == 0:
            os._exit(status_of(lambda: work_in_a_child(here)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        here.Thing(name="parent again")
    assert names(regions) == ["first", "parent", "child", "parent again"]
    with orm.db_session:
        assert orm.count(t for t in here.Thing) == 4


def status_of(work: Callable[[], None]) -> int:
    try:
        work()
    except BaseException:
        return 1
    return 0


def work_in_a_child(here: SimpleNamespace) -> None:
    """What Pony leaves to a child: the parent's session is none of its business."""
    orm.core.local.db2cache.clear()
    orm.core.local.db_context_counter, orm.core.local.db_session = 0, None
    with orm.db_session:
        here.Thing(name="child")
    with orm.db_session:
        assert here.Thing.get(name="child") is not None
        assert route() is LOCAL


def test_a_child_that_is_forked_between_sessions_works(regions: TwoRegions, here: SimpleNamespace) -> None:
    two_regions.way.require_processes()
    child = os.fork()
    if child == 0:
        os._exit(status_of(lambda: work_in_a_child(here)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with orm.db_session:
        assert here.Thing.get(name="child") is not None
        here.Thing(name="parent")
    assert names(regions) == ["first", "child", "parent"]
