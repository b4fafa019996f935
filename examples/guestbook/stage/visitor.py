"""A visitor who comes once a second: it writes, and looks whether it sees what it has written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from peewee import CharField, IntegerField, Model, PeeweeException

import fly_orm

from ..app import db
from .receipt import WAITS
from .steps import Place, Step, steps

_EVERY = 1.0


class Visit(Model):
    """How often each visitor has come."""

    visitor = CharField(primary_key=True)
    number = IntegerField(default=0)

    class Meta:
        database = db


class Visitor:
    """Visits on a thread of its own, while it is told to. Any thread may tell it."""

    def __init__(self, place: Place, report: Callable[[list[Step], bool], None]) -> None:
        self._place = place
        self._name = f"{place.region}{' far' if place.far else ''}"
        self._report = report
        self._way: str | None = None
        self._told = threading.Condition()
        self._number = 0
        threading.Thread(target=self._run, name="visitor", daemon=True).start()

    def go(self, way: str | None) -> None:
        """Come in this way from now on, or not at all."""
        with self._told:
            self._way = way
            self._told.notify()

    def _run(self) -> None:
        while True:
            with self._told:
                self._told.wait_for(lambda: self._way is not None)
                way = self._way or ""
            begun = monotonic()
            self._visit(way)
            with self._told:
                self._told.wait_for(lambda: self._way is None, max(0.0, begun + _EVERY - monotonic()))

    def _visit(self, way: str) -> None:
        missed = False
        with fly_orm.session(), fly_orm.wait_for(WAITS.get(way, "write")), fly_orm.trace() as trace:  # type: ignore[arg-type]
            try:
                with db.connection_context():
                    missed = self._write_and_read()
            except (PeeweeException, fly_orm.FlyOrmError):
                pass  # the trace has it
        self._report(steps(trace, self._place), missed)

    def _write_and_read(self) -> bool:
        """Whether a read misses what was written."""
        number = self._number + 1
        row = {"visitor": self._name, "number": number}
        Visit.insert(row).on_conflict(conflict_target=[Visit.visitor], preserve=[Visit.number]).execute()
        self._number = number
        seen = Visit.get_or_none(Visit.visitor == self._name)
        return seen is None or seen.number < number
