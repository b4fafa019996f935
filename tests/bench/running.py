"""Runs benchmarks one after the other, each in a process of its own, and goes on when one fails."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from types import TracebackType
from typing import Any

from tests.support.tables import Table

from .catalogue import LONG, load
from .duration import QUICK
from .report import Report
from .world import World, world

#: Seconds after which a benchmark is stopped; those that take long have an hour.
LIMIT, LONG_LIMIT = 300.0, 3600.0
STOP_TIMEOUT = 20.0
#: What the node has to be told to hold the channels of the benchmarks: it has room for fewer unless it is.
NODE_OPTIONS = "max_connections=4000"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of one benchmark."""

    name: str
    seconds: float
    load: float
    report: Report | None
    problem: str = ""
    """Why there is no report."""


class Runner:
    """Two regions, and processes that measure in them. After a failure the next one finds new regions."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._world: World | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def world(self) -> World:
        """The regions as they are now."""
        if self._world is None:
            self._world = self._undo.enter_context(world(FLY_ORM_TRANSPORT_OPTIONS=NODE_OPTIONS))
        return self._world

    def run(self, name: str) -> Ran:
        """Measure, in a process of its own."""
        busy, started = os.getloadavg()[0], perf_counter()
        found = self._measured(name)
        if isinstance(found, str):
            self._renew()
        return Ran(
            name=name,
            seconds=perf_counter() - started,
            load=busy,
            report=found if isinstance(found, Report) else None,
            problem=found if isinstance(found, str) else "",
        )

    def _measured(self, name: str) -> Report | str:
        limit = LONG_LIMIT if name in LONG else LIMIT
        with _child(name, self.world) as (process, ours):
            if not ours.poll(limit):
                return f"stopped after {limit:g} s"
            try:
                found: Report | str = ours.recv()
            except EOFError:
                process.join(STOP_TIMEOUT)
                return f"its process ended with {process.exitcode}"
            process.join(STOP_TIMEOUT)
        return found

    def _renew(self) -> None:
        self._undo.close()
        self._world = None


@contextmanager
def _child(name: str, regions: World) -> Iterator[tuple[Any, Any]]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, regions, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        if process.is_alive():
            process.terminate()
            process.join(STOP_TIMEOUT)
        if process.is_alive():
            try:
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            except ProcessLookupError:  # it has no group of its own yet
                process.kill()
            process.join()
        ours.close()


def _measure(name: str, regions: World, out: Any) -> None:
    from .__main__ import stop_on_signals

    os.setpgid(0, 0)
    stop_on_signals()
    try:
        found = load(name).run(regions)
        out.send(Report(tables=[found]) if isinstance(found, Table) else found)
    except BaseException:
        out.send(traceback.format_exc())


def quickly() -> None:
    """Let the processes that start from now on measure in the quick form."""
    os.environ[QUICK] = "1"
