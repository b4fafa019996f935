"""Connections of fly_orm's own to the servers behind the address, one for each server that is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg2

from ..concurrency.fair_semaphore import FairSemaphore, Holder
from ..concurrency.idle_end import IdleEnd
from ..concurrency.timer import Timer
from ..deadline import now
from ..lsn import LSN
from ..postgres.libpq import break_off
from .asking import read_history, read_lag, read_replayed
from .instance import Instance, read_instance
from .lateness import Lag
from .progress import Progress
from .replication import Replication, read_replication

#: Seconds after which a replica that has not answered counts as unreachable.
ASK_TIMEOUT = 2.0
#: Connections to try until one reaches a certain server behind the address.
_TRIES = 4
#: Connections that are kept. More servers than that stand behind few addresses.
_MOST_KEPT = 16

T = TypeVar("T")
#: Asks over a connection to a server.
_Ask = Callable[[Any, Progress], T]


class _Line:
    """A connection to one server. One thread asks at a time."""

    def __init__(self, connection: Any, server: Progress, timer: Timer) -> None:
        self.connection = connection
        self.server = server
        self._timer = timer
        self._turns = FairSemaphore()

    @contextmanager
    def turn(self) -> Iterator[Any]:
        """A block in which only this thread asks, over the value; psycopg2's error if others take too long."""
        with self._turn(ASK_TIMEOUT) as has_turn:
            if not has_turn:
                raise psycopg2.OperationalError(f"the replica has not answered other threads for {ASK_TIMEOUT:g} s")
            with self._timer.limit(ASK_TIMEOUT, lambda: break_off(self.connection)):
                yield self.connection

    def close(self) -> None:
        """Close the connection; a question that is under way fails."""
        break_off(self.connection)  # or close() would wait for the answer
        with self._turn(None):
            self.connection.close()

    def rest(self) -> bool:
        """Close the connection, unless somebody asks; whether it is closed now."""
        with self._turn(0) as has_turn:
            if has_turn:
                self.connection.close()
            return has_turn

    @contextmanager
    def _turn(self, timeout: float | None) -> Iterator[bool]:
        holder = Holder()
        try:
            yield self._turns.take(holder, timeout)
        finally:
            self._turns.leave(holder)


class Lines:
    """Asks certain servers behind one address. Thread-safe.

    Sessions move from one server to another all the time, and each time the one before is asked what it has shown. So a
    connection that reached another server than the one that it was opened for is kept for that other server. All are
    closed when none has been used for some seconds.
    """

    def __init__(self, connect: Callable[[], Any], server: Callable[[Instance | None], Progress], timer: Timer) -> None:
        """``server`` returns what is known about an instance."""
        self._connect = connect
        self._server = server
        self._timer = timer
        self._lock = threading.Lock()
        self._lines: dict[Instance | None, _Line] = {}
        self._closed = False
        self._idle = IdleEnd(timer, self._rest)

    def ask(self, instance: Instance | None) -> tuple[Progress, LSN | None]:
        """Learn the history of a server, or of any if it is None, and return it with the replay LSN.

        The LSN is None if the server is not in recovery. psycopg2's error if it cannot be reached or does not answer.
        """
        return self._ask(instance, _learn)

    def lag(self, instance: Instance | None, wanted: LSN) -> Lag | None:
        """How far a server is behind; None if it has not replayed anything. Raises as :meth:`ask` does."""
        return self._ask(instance, lambda connection, _server: read_lag(connection, wanted))[1]

    def replication(self) -> Replication | None:
        """How one of the servers follows its primary; None if it is not a replica. Raises as :meth:`ask` does."""
        return self._ask(None, lambda connection, _server: read_replication(connection))[1]

    def close(self) -> None:
        """Close the connections. Later questions raise psycopg2's InterfaceError."""
        with self._lock:
            self._closed = True
            lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            line.close()

    def _ask(self, instance: Instance | None, ask: _Ask[T]) -> tuple[Progress, T]:
        try:
            return self._over_line(instance, ask)
        finally:
            self._idle.used()

    def _rest(self) -> None:
        """Close the connections over which nobody asks."""
        with self._lock:
            for line in [line for line in self._lines.values() if line.rest()]:
                del self._lines[line.server.instance]

    def _over_line(self, instance: Instance | None, ask: _Ask[T]) -> tuple[Progress, T]:
        if (line := self._kept(instance)) is not None:
            started = now()
            try:
                with line.turn() as connection:
                    return line.server, ask(connection, line.server)
            except psycopg2.Error:
                self._drop(line)
                if now() >= started + ASK_TIMEOUT:
                    raise  # unreachable; otherwise it may have restarted, and a new connection will do
        line = self._open_to(instance)
        try:
            with line.turn() as connection:
                return line.server, ask(connection, line.server)
        except psycopg2.Error:
            self._drop(line)
            raise

    def _kept(self, instance: Instance | None) -> _Line | None:
        with self._lock:
            return next(iter(self._lines.values()), None) if instance is None else self._lines.get(instance)

    def _open_to(self, instance: Instance | None) -> _Line:
        for _ in range(_TRIES):
            line = self._open()
            if instance is None or line.server.instance == instance:
                return line
        raise psycopg2.OperationalError(f"{_TRIES} connections in a row reached other servers than {instance}")

    def _open(self) -> _Line:
        """A new connection to any of the servers, kept for it."""
        if not self._lines:
            self._idle.opened()
        connection = self._connect()
        try:
            with self._timer.limit(ASK_TIMEOUT, lambda: break_off(connection)):
                line = _Line(connection, self._server(read_instance(connection)), self._timer)
        except psycopg2.Error:
            connection.close()
            raise
        superfluous = self._keep(line)
        if superfluous is not None:
            superfluous.close()
        return line

    def _keep(self, line: _Line) -> _Line | None:
        """Keep a line; returns another one that has to go for it."""
        with self._lock:
            if self._closed:
                line.connection.close()
                raise psycopg2.InterfaceError("the connection to the replica was closed")
            before = self._lines.pop(line.server.instance, None)
            if before is None and len(self._lines) >= _MOST_KEPT:
                before = self._lines.pop(next(iter(self._lines)))
            self._lines[line.server.instance] = line
            return before

    def _drop(self, line: _Line) -> None:
        with self._lock:
            if self._lines.get(line.server.instance) is line:
                del self._lines[line.server.instance]
        with suppress(psycopg2.Error):
            line.close()


def _learn(connection: Any, server: Progress) -> LSN | None:
    server.history = read_history(connection)
    return read_replayed(connection)
