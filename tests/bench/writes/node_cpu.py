"""What the node, the caller and the primary spend on an INSERT in autocommit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, process_time, sleep
from typing import Any

import psutil

from tests.support.tables import Table

from ..report import us
from ..world import NAME, World, model

WRITES = 2400
WARM_UP = 20
#: Seconds after which a server's statistics have what was executed (PGSTAT_MIN_INTERVAL in Postgres' pgstat.c).
_STATISTICS = 1.5


def run(world: World) -> Table:
    """By number of threads of one process, next to each other."""
    return Table(
        title=f"what each of {WRITES} peewee inserts by one process costs, 0 ms apart",
        headings=("threads", "node µs", "caller µs", "transactions", "writes a second"),
        rows=[_row(world, threads) for threads in (1, 8, 32, 128)],
        result="aim: at most 150 µs in the node and 2 transactions, and no fewer writes with 32 threads than with 8",
    )


def _row(world: World, threads: int) -> tuple[object, ...]:
    node = psutil.Process(world.reach["node pid"])
    with world.lax() as lax, world.on_primary() as primary, ThreadPoolExecutor(threads) as pool:
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
        before, spent, own = _transactions(primary), _spent(node), process_time()
        started = perf_counter()
        barrier.wait()
        for each in running:
            each.result()
        took, own, spent = perf_counter() - started, process_time() - own, _spent(node) - spent
        made = WRITES // threads * threads
        transactions = f"{(_transactions(primary) - before) / made:.2f}"
    return threads, us(spent / made), us(own / made), transactions, f"{made / took:.0f}"


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _transactions(primary: Any) -> int:
    """How many the database has seen; each string of statements outside of a transaction is one."""
    sleep(_STATISTICS)
    query = f"SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{NAME}'"
    found: int = primary.execute_sql(query).fetchone()[0]
    return found
