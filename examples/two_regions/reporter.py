"""Times what a visitor does, asks fly_orm where it was served, and reports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import peewee

import fly_orm

from .step import Kind, Step


class Stopwatch:
    """Seconds since it was made, or last started."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Count from 0 again."""
        self._started = perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return perf_counter() - self._started


class Reporter:
    """Reports each step of one visitor when it is done."""

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
        """Report the block as a step that writes."""
        return self.step(name, Kind.WRITE)

    def read(self, name: str, read: Callable[[], Any]) -> Any:
        """What ``read`` returns."""
        with self.step(name, Kind.OTHER):
            return read()

    def read_back(self, name: str, read: Callable[[], Any], *, expected: Any, kind: Kind = Kind.READ_BACK) -> None:
        """Read, and report whether it was what had been written before."""
        stopwatch = Stopwatch()
        found = read()
        self._done(name, kind, stopwatch.seconds, ok=found == expected)

    def violate(self, name: str, write: Callable[[], Any], *, constraint: str) -> None:
        """Write what a constraint forbids, and report whether the error names it."""
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
