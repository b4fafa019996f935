"""What the node, the caller and the primary spend on an INSERT in autocommit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import perf_counter, process_time
from typing import Any

from tests.support.tables import Table
from tests.support.waiting import until

from .. import processor
from ..duration import times
from ..report import us
from ..world import NAME, World, model
from .ways import connect

WRITES = times(2400)
WARM_UP = 20
_OTHERS = f"""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = '{NAME}' AND backend_type = 'client backend'
    AND state_change > clock_timestamp() - interval '11 s'"""
_SEEN = f"SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{NAME}'"


def run(world: World) -> Table:
    """By number of threads of one process, next to each other, and then what the primary has seen of one of them."""
    return Table(
        title=f"what each of {WRITES} peewee inserts by one process costs, 0 ms apart",
        headings=("threads", "node µs", "caller µs", "writes a second"),
        rows=[_row(world, threads) for threads in (1, 8, 32, 128)],
        result=f"aim: at most 150 µs in the node, and no fewer writes with 32 threads than with 8; {_strings(world)}",
    )


def _row(world: World, threads: int) -> tuple[object, ...]:
    node = world.reach["node pid"]
    with world.lax() as lax, ThreadPoolExecutor(threads) as pool:
        row, barrier = model(lax), threading.Barrier(threads + 1)

        def work(_: int) -> None:
            with lax.connection_context():
                for number in range(WARM_UP):
                    row.create(name="warm-up", number=number)
                barrier.wait()
                barrier.wait()
                for number in range(WRITES // threads):
                    row.create(name="cost", number=number)

        running = [pool.submit(work, number) for number in range(threads)]
        barrier.wait()
        spent, own, started = processor.spent(node), process_time(), perf_counter()
        barrier.wait()
        for each in running:
            each.result()
        took, own, spent = perf_counter() - started, process_time() - own, processor.spent(node) - spent
        made = WRITES // threads * threads
    return threads, us(spent / made), us(own / made), f"{made / took:.0f}"


def _strings(world: World) -> str:
    """How many strings of statements the primary is sent for each write, when one thread writes for a second and more.

    A session tells what it has executed when it ends or has been idle for 10 seconds, and before that at most once a
    second (pgstat_report_stat() in Postgres' pgstat.c). So no session may have been used lately, before and after.
    """
    with world.lax() as lax:
        row = model(lax)
        with closing(connect({**world.reach["primary"], "dbname": "postgres"})) as primary:
            row.create(name="first", number=0)
            before = _transactions(primary)
            for number in range(WRITES):
                row.create(name="counted", number=number)
            more = _transactions(primary) - before
    return f"{more / WRITES:.2f} strings of statements on the primary for each write (aim: 2)"


def _transactions(primary: Any) -> int:
    """How many the database has seen; each string of statements outside of a transaction is one."""
    with primary.cursor() as cursor:
        until(lambda: not _asked(cursor, _OTHERS), "connections of the node stayed open")
        return _asked(cursor, _SEEN)


def _asked(cursor: Any, query: str) -> int:
    cursor.execute(query)
    found: int = cursor.fetchone()[0]
    return found
