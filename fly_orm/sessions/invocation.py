"""One run of a function on this node, for a caller elsewhere: what it wrote, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.errorcodes import QUERY_CANCELED

from ..classify import Kind, Statement
from ..deadline import Deadline
from ..position import Position, later
from ..postgres.running_statement import RunningStatement
from ..postgres.sql_error import query_cancelled
from .activity import ActivityLog

#: Completes Postgres' sentence "canceling statement because …".
TIMED_OUT = "the call timed out; allow the function more time with timeout=seconds"
#: What a function that has been stopped may still execute: it only undoes what was begun.
_UNDOING = frozenset({Kind.ROLLBACK, Kind.ROLLBACK_TO})


class Invocation(ActivityLog):
    """One run of a function. Its statements run in its context; any thread may stop it."""

    def __init__(self, deadline: Deadline, *, on_primary: bool = False) -> None:
        super().__init__()
        self.on_primary = on_primary
        """Whether it was called to read on the primary, even if this node's server has become a replica meanwhile."""
        self.deadline = deadline
        """When the caller stops waiting."""
        self.written: dict[str, Position] = {}
        """By database name: the latest position of what forwarded statements and calls have written."""
        self.read: dict[str, Position] = {}
        """By database name: the latest position of what they have only read."""
        self.statements = 0
        """How many statements were executed directly on a primary."""
        self.raised: str | None = None
        """The name of the class of the exception that the function has raised."""
        self._lock = threading.Lock()
        self._running: set[RunningStatement] = set()
        self._stopped: str | None = None

    def wrote_until(self, database: str, position: Position) -> None:
        """Note the position of something written. Once one is UNKNOWN, it stays so."""
        with self._lock:
            known = self.written.get(database)
            if known is None or not known.is_unknown:
                self.written[database] = later(known, position)

    def read_until(self, database: str, position: Position) -> None:
        """Note the position of something read."""
        with self._lock:
            self.read[database] = later(self.read.get(database), position)

    @contextmanager
    def statement(self, database: Hashable, connection: Any, statement: Statement) -> Iterator[None]:
        """A block in which a statement runs on ``connection``, which is one to a primary, and can be cancelled.

        Raises psycopg2's QueryCanceled if the function has been stopped or its time is over, except for statements that
        undo.
        """
        self.record(database, statement)
        running = RunningStatement(connection)
        with self._lock:
            self.statements += 1
            if self.stopped and statement.kind not in _UNDOING:
                raise self._cancelled()
            self._running.add(running)
        try:
            yield
        except psycopg2.Error as error:
            if error.pgcode == QUERY_CANCELED and self._stopped:
                raise self._cancelled() from error
            raise
        finally:
            with self._lock:
                self._running.discard(running)
            running.end()

    @property
    def stopped(self) -> bool:
        """Whether it must not execute anything more, or begin."""
        return self._stopped is not None or self.deadline.expired

    def check(self) -> None:
        """Raise psycopg2's QueryCanceled if the function has been stopped, or its time is over."""
        if self.stopped:
            raise self._cancelled()

    def stop(self, why: str) -> None:
        """Cancel what is running, and let the function execute nothing more. Returns at once."""
        with self._lock:
            self._stopped = self._stopped or why
            for running in self._running:
                running.cancel_soon()

    def break_off(self) -> None:
        """Shut down the connections that statements still run on."""
        with self._lock:
            for running in self._running:
                running.break_off()

    def _cancelled(self) -> psycopg2.Error:
        return query_cancelled(f"canceling statement because {self._stopped or TIMED_OUT}")
