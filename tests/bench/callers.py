"""Processes whose threads write, read back what they wrote, and call functions, as an application does."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import perf_counter, sleep
from typing import Any

import peewee

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.settings import Settings
from fly_orm.topology import Node, Topology

from .report import percentile
from .work import Row, insert
from .world import SECRET

#: Seconds in which all processes start.
START_TIMEOUT = 60.0


@dataclass(kw_only=True)
class Counted:
    """What callers have done, and how long each thing took (seconds)."""

    took: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    """Writes that the next read did not show."""

    def add(self, other: Counted) -> None:
        self.took += other.took
        self.errors += other.errors
        self.missed += other.missed

    def cells(self, seconds: float) -> list[str]:
        """How many, how many a second, the median, the 99th percentile and the longest in milliseconds."""
        figures = [percentile(self.took, percent) * 1000 for percent in (50, 99, 100)]
        return [f"{len(self.took)}", f"{len(self.took) / seconds:.0f}", *(f"{figure:.0f}" for figure in figures)]


@dataclass(kw_only=True)
class Callers:
    """Running processes."""

    pids: list[int]
    counted: Counted = field(default_factory=Counted)
    """What they have done, once they have ended."""


@contextmanager
def callers(reach: Mapping[str, Any], *, processes: int, threads: int, pause: float = 0.0) -> Iterator[Callers]:
    """Processes that work as long as the block lasts, with so many threads each, ``pause`` seconds between two steps.

    Timeouts are the defaults.
    """
    context = get_context("spawn")
    results, over, ready = context.Queue(), context.Event(), context.Barrier(processes + 1)
    arguments = (dict(reach), threads, pause, ready, over, results)
    started = [context.Process(target=_process, args=arguments) for _ in range(processes)]
    for process in started:
        process.start()
    ready.wait(START_TIMEOUT)
    running = Callers(pids=[process.pid for process in started if process.pid])
    try:
        yield running
    finally:
        over.set()
        for _ in started:
            running.counted.add(results.get(timeout=START_TIMEOUT))
        for process in started:
            process.join()


def _process(reach: dict[str, Any], threads: int, pause: float, ready: Any, over: Any, results: Any) -> None:
    nodes = {"syd": (Node(region="syd", address=reach["rpc"]),)}
    settings = Settings(topology=Topology(region="lax", primary_region="syd"), nodes=nodes, secret=SECRET)
    fly_orm.configure(settings)
    parameters = dict(reach["replica"])
    database = fly_orm.wrap(peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters))
    Row.bind(database)
    _reach_a_node(database)
    ready.wait()
    counted, lock = Counted(), threading.Lock()

    def work(number: int) -> None:
        own = _work(database, random.Random(number), pause, over)
        with lock:
            counted.add(own)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put(counted)
    database._fly_orm.close()


def _reach_a_node(database: Any) -> None:
    """Write once, so that the work does not begin with handshakes that time out on a machine which is too busy."""
    deadline = Deadline.after(START_TIMEOUT)
    while not deadline.expired:
        with suppress(fly_orm.NotDelivered), database.connection_context():
            _write_and_read(database)
            return


def _work(database: Any, dice: random.Random, pause: float, over: Any) -> Counted:
    counted = Counted()
    while not over.is_set():
        with fly_orm.session(), database.connection_context():
            for _ in range(20):
                if over.is_set():
                    break
                started = perf_counter()
                try:
                    counted.missed += not dice.choice(_STEPS)(database)
                except Exception as error:
                    counted.errors[f"{type(error).__name__}: {str(error)[:200]}"] += 1
                counted.took.append(perf_counter() - started)
                sleep(pause)
    return counted


def _write_and_read(_: Any) -> bool:
    made = Row.create(name="load", number=1)
    return Row.get_or_none(Row.id == made.id) is not None


def _transact(database: Any) -> bool:
    with database.atomic():
        first, second = (Row.create(name="load", number=number) for number in (1, 2))
    return Row.select().where(Row.id.in_([first.id, second.id])).count() == 2


def _call(_: Any) -> bool:
    insert(2)
    return True


def _read(_: Any) -> bool:
    return Row.select().order_by(Row.id.desc()).limit(10).count() <= 10


_STEPS = [_write_and_read, _write_and_read, _transact, _call, _read, _read]
