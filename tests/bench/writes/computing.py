"""How many calls of a function that computes a node gets done with one worker and with two, at the same address.

Bias: the function takes nearly all of the time, so that the node's cores are the limit, even where the caller and the
servers have the same ones. What writes get out of workers is in the benchmark of that name.
"""

from __future__ import annotations

import threading
from time import perf_counter

import psutil

import fly_orm
from fly_orm.checking.status import ask_status
from fly_orm.deadline import Deadline
from fly_orm.runtime.runtime import Runtime
from tests.support.tables import Table

from .. import processor
from ..duration import times
from ..work import compute
from ..world import World, lax_settings

SECONDS, ROUNDS = 1.0, times(6, 2)
WORKERS, CALLERS = (1, 2), 16
#: Enough for all callers, and for a host that leaves every fifth place to others.
POOL = 40


def run(world: World) -> Table:
    """The same callers, by turns, and the best of each: what else runs on these cores can only make it less."""
    nodes = {each: world.backstage.another_node("--workers", str(each), "--pool-size", str(POOL)) for each in WORKERS}
    for workers, (_, address) in nodes.items():
        _wait_for(workers, address)
    found: dict[int, list[tuple[float, float]]] = {workers: [] for workers in WORKERS}
    for _ in range(ROUNDS):
        for workers, (pid, address) in nodes.items():
            found[workers].append(_measured(pid, address))
    rows = [
        (workers, *(f"{figure:.{places}f}" for figure, places in zip(max(each), (0, 2), strict=True)))
        for workers, each in found.items()
    ]
    return Table(
        title=f"calls a second of a function that computes, {CALLERS} callers",
        headings=("workers", "calls/s", "cores of the node"),
        rows=rows,
        result="aim: twice as many with two workers, if there are two cores",
    )


def _wait_for(workers: int, address: str) -> None:
    """Wait until all workers serve, of which the second one starts once the first one does."""
    runtime, found = Runtime(lax_settings(address)), set[int]()
    while len(found) < workers:
        found.update(node.worker for node in ask_status(runtime, Deadline.after(10)) if not node.problem)
    runtime.close()


def _measured(pid: int, address: str) -> tuple[float, float]:
    """Calls a second, and the cores that the node has used meanwhile."""
    fly_orm.configure(lax_settings(address))
    calls, until = [0] * CALLERS, perf_counter() + SECONDS
    compute()

    def work(number: int) -> None:
        while perf_counter() < until:
            compute()
            calls[number] += 1

    callers = [threading.Thread(target=work, args=(number,)) for number in range(CALLERS)]
    before, started = _spent(pid), perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    took = perf_counter() - started
    return sum(calls) / took, (_spent(pid) - before) / took


def _spent(pid: int) -> float:
    """Of the supervisor and its workers."""
    return sum(processor.spent(each) for each in (pid, *(child.pid for child in psutil.Process(pid).children())))
