"""What a trace collects of a block."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fly_orm
from fly_orm.concurrency.latch import Latch
from fly_orm.observing import Route
from fly_orm.observing.listeners import listeners
from tests.support.two_regions import AMPLE, TwoRegions


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """A database in lax, with a table that the replica has."""
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    database = regions.lax()
    database.connect()
    return database


def test_it_tells_where_statements_ran_and_what_they_took(regions: TwoRegions, db: Any) -> None:
    with fly_orm.trace() as trace:
        db.execute_sql("SELECT name FROM t")
        with db.atomic():
            db.execute_sql("INSERT INTO t (name) VALUES ('ann'), ('bob')")
        db.execute_sql("SELECT name FROM t")
    db.execute_sql("SELECT 1")
    assert [each.command for each in trace.statements] == ["SELECT", "BEGIN", "INSERT", "COMMIT", "SELECT"]
    assert (trace.local, trace.primary, trace.round_trips, trace.errors) == (2, 3, 2, 0)
    assert trace.total >= trace.rpc + trace.waited > 0
    assert trace.taken(Route.LOCAL) == trace.statements[0].total + trace.statements[-1].total
    assert trace.taken(*Route) == pytest.approx(trace.total - trace.waited)
    assert not listeners.statements


def test_it_is_a_table(regions: TwoRegions, db: Any) -> None:
    with fly_orm.trace() as trace:
        db.execute_sql("SELECT name FROM t WHERE name = 'secret'")
        db.execute_sql("INSERT INTO t (name) VALUES ('secret')")
        with pytest.raises(Exception, match="nothing"):
            db.execute_sql("SELECT nothing")
    summary, headings, *rows = str(trace).splitlines()
    assert summary.startswith("3 statements in ")
    assert summary.endswith(f"waited {1000 * trace.waited:.1f} ms")
    assert ": 2 local, 1 on the primary; 1 round trip (" in summary
    assert headings.split() == ["route", "kind", "rows", "ms", "rpc", "wait", "where", "statement"]
    assert [row.split()[:3] for row in rows] == [
        ["1", "local", "read"],
        ["2", "primary", "write"],
        ["3", "local", "read"],
    ]
    assert rows[0].endswith("SELECT name FROM t WHERE name = ?")
    assert f"syd={regions.wan.address}  INSERT INTO t (name) VALUES (?)" in rows[1]
    assert rows[2].endswith("SELECT nothing ! UndefinedColumn")
    assert (
        str(fly_orm.Trace())
        == "0 statements in 0.0 ms: 0 local, 0 on the primary; 0 round trips (0.0 ms), waited 0.0 ms"
    )


def test_blocks_may_be_nested(db: Any) -> None:
    with fly_orm.trace() as outer:
        with fly_orm.trace() as inner:
            db.execute_sql("SELECT 1")
        db.execute_sql("SELECT 2")
    assert (len(outer.statements), len(inner.statements)) == (2, 1)


def test_it_ends_once(db: Any) -> None:
    with fly_orm.trace() as outer:
        inner = fly_orm.trace().begin()
        db.execute_sql("SELECT 1")
        inner.end()
        inner.end()
        db.execute_sql("SELECT 2")
    with fly_orm.trace() as later:
        db.execute_sql("SELECT 3")
    assert [len(each.statements) for each in (outer, inner, later)] == [2, 1, 1]


def test_it_collects_what_its_own_context_does(regions: TwoRegions, db: Any) -> None:
    other = regions.lax()
    with fly_orm.trace() as trace:
        thread = threading.Thread(target=lambda: other.execute_sql("SELECT 'of another thread'"))
        thread.start()
        thread.join()
    assert not trace.statements

    async def in_a_task() -> None:
        with fly_orm.trace() as trace:
            await asyncio.gather(*(asyncio.to_thread(other.execute_sql, "SELECT 1") for _ in range(3)))
        assert len(trace.statements) == 3

    asyncio.run(in_a_task())


def test_it_may_end_in_another_context(db: Any) -> None:
    """As it does where a framework runs the two halves of a generator in different threads."""

    def block() -> Iterator[fly_orm.Trace]:
        with fly_orm.trace() as trace:
            yield trace

    generator = block()
    trace = contextvars.copy_context().run(next, generator)
    assert next(generator, None) is None
    db.execute_sql("SELECT 1")
    assert not trace.statements
    assert not listeners.statements


def test_a_forked_child_goes_on_with_its_own(db: Any) -> None:
    """Other threads of the parent may hold the locks, or have open traces; the child does not have these threads."""
    is_over = Latch()

    def trace_again_and_again() -> None:
        while not is_over.is_set():
            with fly_orm.trace():
                pass

    threads = [threading.Thread(target=trace_again_and_again) for _ in range(3)]
    with fly_orm.trace() as trace:
        for each in threads:
            each.start()
        try:
            for _ in range(10):
                assert in_a_child(lambda: ends_alone(trace)) == 0
        finally:
            is_over.set()
            for each in threads:
                each.join()


def ends_alone(trace: fly_orm.Trace) -> bool:
    """Whether a trace can be begun next to this one, and nobody observes when both have ended."""
    with fly_orm.trace():
        pass
    trace.end()
    return not listeners.statements


def in_a_child(work: Callable[[], bool]) -> int:
    """The exit status of a forked child: 0 if the work returns true there. It is killed if that takes too long."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(AMPLE))
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_collects_in_the_primary_region(regions: TwoRegions) -> None:
    db = regions.syd()
    with fly_orm.trace() as trace:
        db.execute_sql("CREATE TABLE u ()")
        db.execute_sql("SELECT * FROM u")
    assert (trace.local, trace.primary, trace.round_trips) == (2, 0, 0)
    assert trace.total == trace.taken(Route.LOCAL) > 0


def test_it_collects_calls(regions: TwoRegions, db: Any) -> None:
    fly_orm.configure(regions.lax_settings())
    with fly_orm.trace() as trace:
        answer()
    (call,) = trace.calls
    assert (trace.round_trips, trace.rpc, trace.total) == (1, call.rpc, call.total)
    assert "call" in str(trace)
    fly_orm.configure(regions.lax_settings())
    with fly_orm.trace() as trace:
        fly_orm.call("lax", answer)
    assert (trace.round_trips, trace.total) == (0, 0.0)


@fly_orm.on_primary
def answer() -> int:
    return 42
