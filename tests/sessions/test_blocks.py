"""Blocks belong to the context that enters them, in whatever order they are left."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

import fly_orm
from fly_orm import Route
from fly_orm.sessions import pins
from fly_orm.sessions.context import current
from fly_orm.testing.contract.interrupting import at_every_moment
from tests.support.waiting import once_waited_for

SOON = 10


@pytest.fixture
def db(regions):
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def insert(db, name):
    db.execute_sql("INSERT INTO item VALUES (%s)", (name,))


def names(db):
    return [name for (name,) in db.execute_sql("SELECT name FROM item ORDER BY name").fetchall()]


def route(db):
    names(db)
    return fly_orm.why().route


def held(block):
    with block:
        while True:
            yield


async def held_async(block):
    with block:
        while True:
            yield


def entered(block):
    """A generator that holds the block open."""
    generator = held(block)
    next(generator)
    return generator


class Overlapping:
    """Two threads whose blocks overlap: the first one leaves its block first, and then the second one acts in its."""

    def __init__(self, db, first, second, act):
        self.db, self.blocks, self.act = db, (first, second), act
        self.in_first, self.in_second, self.left = (threading.Event() for _ in range(3))

    def first(self):
        with self.blocks[0]():
            self.in_first.set()
            assert self.in_second.wait(SOON)
        self.left.set()

    def second(self):
        assert self.in_first.wait(SOON)
        with self.blocks[1](), self.db.connection_context():
            self.in_second.set()
            assert self.left.wait(SOON)
            return self.act()

    async def in_a_task(self):
        _, result = await asyncio.gather(asyncio.to_thread(self.first), asyncio.to_thread(self.second))
        return result

    def in_copies(self):
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(contextvars.copy_context().run, each) for each in (self.first, self.second)]
            return futures[1].result()


class TestThreadsThatShareASession:
    def test_read_where_their_own_block_says(self, regions, db):
        async def main():
            with fly_orm.session():
                seen = await Overlapping(db, fly_orm.primary, fly_orm.primary, lambda: names(db)).in_a_task()
                return seen, current().on_primary

        with regions.cluster.replay_paused():
            regions.query("INSERT INTO item VALUES ('of another')")
            assert asyncio.run(main()) == (["of another"], False)

    def test_do_so_in_copies_of_a_context_too(self, db):
        names(db)
        assert Overlapping(db, fly_orm.replica, fly_orm.primary, lambda: route(db)).in_copies() is Route.PRIMARY
        assert Overlapping(db, fly_orm.primary, fly_orm.replica, lambda: route(db)).in_copies() is Route.LOCAL
        assert (current().on_primary, current().on_replica) == (False, False)

    def test_wait_as_their_own_block_says(self, regions, db):
        names(db)
        never, at_write = (lambda: fly_orm.wait_for("none")), (lambda: fly_orm.wait_for("write"))
        with regions.cluster.replay_paused(), once_waited_for(regions.cluster.resume_replay):
            Overlapping(db, never, at_write, lambda: insert(db, "a")).in_copies()
        assert names(db) == ["a"]
        Overlapping(db, at_write, never, lambda: None).in_copies()
        assert current().wait_or(None) is None
        with regions.cluster.replay_paused(), once_waited_for(regions.cluster.resume_replay):
            insert(db, "b")
        assert names(db) == ["a", "b"]

    def test_lose_no_position_that_another_one_has_written_meanwhile(self, regions, db, monkeypatch):
        names(db)
        later, begun = pins.later, []

        def write_another():
            with db.connection_context():
                insert(db, "b")

        def interrupted(known, position):
            if not begun:
                regions.cluster.wait_for_replica()
                regions.cluster.pause_replay()
                begun.append(threading.Thread(target=contextvars.copy_context().run, args=(write_another,)))
                begun[0].start()
                while regions.query("SELECT count(*) FROM item") < 2:
                    pass
                begun[0].join(0.5)  # it may go on only after this one
            return later(known, position)

        monkeypatch.setattr(pins, "later", interrupted)
        try:
            with fly_orm.wait_for("read"):
                insert(db, "a")
            begun[0].join()
            with once_waited_for(regions.cluster.resume_replay):
                assert names(db) == ["a", "b"]
        finally:
            regions.cluster.resume_replay()


class TestACopyOfAContext:
    def test_keeps_the_blocks_in_which_it_was_made(self, db):
        async def later():
            return route(db)

        async def main():
            with fly_orm.primary():
                task = asyncio.create_task(later())
            return await task, route(db)

        with fly_orm.primary():
            context = contextvars.copy_context()
        assert context.run(route, db) is Route.PRIMARY
        assert route(db) is Route.LOCAL
        assert asyncio.run(main()) == (Route.PRIMARY, Route.LOCAL)

    def test_can_end_a_block_that_another_one_has_entered(self, db):
        with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
            names(db)
            for block in (fly_orm.primary(), fly_orm.operation("a"), fly_orm.trace()):
                stack.enter_context(block)
            moved = stack.pop_all()
            pool.submit(contextvars.copy_context().run, moved.close).result()
            assert route(db) is Route.LOCAL
            with fly_orm.operation("b"):
                pass


class TestGenerators:
    def test_may_end_in_the_order_in_which_they_began(self, db):
        first, second = entered(fly_orm.primary()), entered(fly_orm.replica())
        first.close()
        assert current().on_replica
        second.close()
        assert route(db) is Route.LOCAL
        assert not current().on_replica

    def test_that_have_sessions_do_so_too(self):
        outside = current()
        first, second = entered(fly_orm.session()), entered(fly_orm.session())
        inner = current()
        first.close()
        assert current() is inner
        second.close()
        assert current() is outside

    def test_with_a_session_leave_blocks_around_it_alone(self):
        outer, inner = entered(fly_orm.primary()), entered(fly_orm.session())
        assert not current().on_primary
        outer.close()
        inner.close()
        assert not current().on_primary

    def test_that_trace_do_so_too(self, db):
        first, second = fly_orm.trace(), fly_orm.trace()
        generators = [entered(first), entered(second)]
        generators[0].close()
        names(db)
        generators[1].close()
        assert (len(first.statements), len(second.statements)) == (0, 1)

    @pytest.mark.parametrize("leaves_by", ["break", "another task"])
    def test_of_asyncio_that_are_ended_elsewhere_leave_nothing_behind(self, db, leaves_by):
        async def main():
            outside = current()
            for block in (fly_orm.primary(), fly_orm.session(), fly_orm.wait_for("none"), fly_orm.operation("a")):
                generator = held_async(block)
                await anext(generator)
                if leaves_by == "another task":
                    await asyncio.create_task(generator.aclose())
                del generator
                await asyncio.sleep(0.01)  # the event loop ends it in a task of its own
            assert current() is outside
            assert outside.wait_or(None) is None
            with fly_orm.operation("b"):
                return route(db)

        problems = []

        async def watched():
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
            return await main()

        assert asyncio.run(watched()) is Route.LOCAL
        assert problems == []

    def test_of_asyncio_leave_the_blocks_of_a_session_that_goes_on(self, db):
        async def main():
            names(db)
            generator = held_async(fly_orm.session())
            await anext(generator)
            with fly_orm.session():
                inner = current()
                await asyncio.create_task(generator.aclose())
                assert current() is inner
            return current()

        async def both():
            outside = current()
            return outside, await main()

        outside, after = asyncio.run(both())
        assert after is outside


@pytest.mark.parametrize("block", [fly_orm.primary, fly_orm.session, lambda: fly_orm.wait_for("none")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_leaves_the_context_in_no_block(block):
    outside = current()

    def enter_and_leave():
        with block():
            pass

    for _ in at_every_moment(enter_and_leave):
        gc.collect(1)  # which ends a block whose caller was interrupted before it got it
        session = current()
        assert (session is outside, session.on_primary, session.wait_or(None)) == (True, False, None)


def test_blocks_end_with_closing(db):
    with closing(entered(fly_orm.primary())):
        assert route(db) is Route.PRIMARY
    assert route(db) is Route.LOCAL
