"""Times each step of a visitor, asks fly_orm where it was served, and reports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import peewee

import fly_orm

from .step import Kind, Step


class Stopwatch:
    """Measures the seconds since it was created or last started."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Restart from 0."""
        self._started = perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._started


class Reporter:
    """Reports each step of one visitor as soon as it is done."""

    def __init__(self, region: str, report: Callable[[Step], None]) -> None:
        self._region = region
        self._report = report

    @contextmanager
    def step(self, name: str, kind: Kind) -> Iterator[Stopwatch]:
        """Report the block as a step."""
        stopwatch = Stopwatch()
        yield stopwatch
        self._done(name, kind, stopwatch.seconds, ok=True)

    def write(self, name: str) -> Any:
        """Report the block as a write."""
        return self.step(name, Kind.WRITE)

    def read(self, name: str, read: Callable[[], Any]) -> Any:
        """What ``read`` returns, reported as a step."""
        with self.step(name, Kind.OTHER):
            return read()

    def read_back(self, name: str, read: Callable[[], Any], *, expected: Any, kind: Kind = Kind.READ_BACK) -> None:
        """Read, and report whether the result is the expected one."""
        stopwatch = Stopwatch()
        found = read()
        self._done(name, kind, stopwatch.seconds, ok=found == expected)

    def violate(self, name: str, write: Callable[[], Any], *, constraint: str) -> None:
        """Violate a constraint, and report whether the error names it."""
        stopwatch = Stopwatch()
        try:
            write()
        except peewee.IntegrityError as error:
            ok = error.orig.diag.constraint_name == constraint
        else:
            ok = False
        self._done(name, Kind.CHECK, stopwatch.seconds, ok=ok)

    def _done(self, name: str, kind: Kind, seconds: float, *, ok: bool) -> None:
        served = fly_orm.why()
        local = served is not None and served.route is fly_orm.Route.LOCAL
        self._report(
            Step(
                name=name,
                kind=kind,
                region=self._region if local else _region_of(served),
                why=served.why if served else "",
                local=local,
                seconds=seconds,
                rpc=served.rpc if served else 0.0,
                wait=served.wait if served else 0.0,
                ok=ok,
            )
        )


def _region_of(served: fly_orm.Served | None) -> str:
    return (served.node or "").partition("=")[0] if served else ""
