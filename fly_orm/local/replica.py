"""The local server as a replica: whether it shows a position, and which one it shows now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg2
import psycopg2.errors

from ..concurrency.timer import Timer
from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..lsn import LSN
from ..position import Position
from ..postgres.libpq import break_off
from ..registry import make_waiter

log = logging.getLogger("fly_orm")

#: Seconds after which a replica that was on another timeline is asked again.
ASK_INTERVAL = 1.0
#: Seconds after which a replica that has not answered counts as unreachable.
ASK_TIMEOUT = 2.0

# The newest timeline of which the replica has certainly replayed something. Each of the three sources lags in its own
# way; the last one is null unless the role is a member of pg_read_all_stats.
_ASK_HISTORY = """
    SELECT (SELECT system_identifier FROM pg_control_system()), greatest(
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
        (SELECT received_tli FROM pg_stat_get_wal_receiver())
    )"""
_ASK_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END"


class _History(NamedTuple):
    system: int
    timeline: int


class LocalReplica:
    """Waits until the replica shows a position, on whatever timeline. Thread-safe."""

    def __init__(self, kind: str, connect: Callable[[], Any], timer: Timer) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._timer = timer
        self._asking: Any = None
        self._asked = -ASK_INTERVAL
        self._closed = self._warned = False
        self._history: _History | None = None
        """As learnt over a connection that is at least as new as the waiter's."""
        self._waiter = make_waiter(kind, self._open)

    def wait(self, position: Position, deadline: Deadline) -> None:
        """Return when reads on the replica show a position.

        Raises ReplicationTimeout if they do not by the deadline, and at once if they never will: the replica belongs
        to another system, or is on a timeline on which the position may be lost. Raises NotAReplica if the server is
        not in recovery.
        """
        if self._history is None and position.system:
            self._waiter.wait(LSN(0), deadline)  # connects, and so learns the history
        history = self._history
        if history is not None and position.system:
            if position.system != history.system:
                raise self._elsewhere(position)
            if position.timeline < history.timeline:
                deadline = Deadline.after(0)
        self._waiter.wait(position.lsn, deadline)
        if position.system and not self._includes(position):
            raise self._elsewhere(position)

    def position(self) -> Position:
        """A position at which another replica shows all that this one shows now.

        Raises NotAReplica if the server is not in recovery, and psycopg2's error if it cannot be asked.
        """
        with self._turn():
            replayed = self._ask()
            history = self._history
        if replayed is None:
            raise NotAReplica("the local server is not in recovery, or has not replayed anything")
        return Position(replayed, *(history or ()))

    def close(self) -> None:
        """Close the connections; waits that are under way raise ReplicationTimeout."""
        self._closed = True
        self._waiter.close()
        if (asking := self._asking) is not None:
            break_off(asking)  # so that close() does not wait for an answer
        with suppress(psycopg2.Error), self._turn():
            if self._asking is not None:
                self._asking.close()

    def _includes(self, position: Position) -> bool:
        """Whether the replica's history includes the position's timeline."""
        if not _covers(self._history, position):
            try:
                with self._turn():
                    if now() >= self._asked + ASK_INTERVAL:
                        self._ask()
            except psycopg2.Error as error:
                raise self._elsewhere(position) from error
        return _covers(self._history, position)

    def _open(self) -> Any:
        """A connection for the waiter, over which the history is learnt again: it may reach another server."""
        connection = self._connect()
        try:
            self._learn(connection)
        except psycopg2.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A block in which only this thread asks; psycopg2's error if other threads take too long."""
        if not self._lock.acquire(timeout=ASK_TIMEOUT):
            raise psycopg2.OperationalError(f"the replica has not answered other threads for {ASK_TIMEOUT:g} s")
        try:
            yield
        finally:
            self._lock.release()

    def _ask(self) -> LSN | None:
        """Learn the history, and return the replay LSN; None if the server is not in recovery. In a turn."""
        if self._closed:
            raise psycopg2.InterfaceError("the connection to the replica was closed")
        self._asked = now()
        if self._asking is not None:
            try:
                return self._learn(self._asking)
            except psycopg2.Error:
                self._asking.close()
                self._asking = None
                if now() >= self._asked + ASK_TIMEOUT:
                    raise  # unreachable; otherwise it may have restarted, and a new connection will do
        self._asking = self._connect()
        return self._learn(self._asking)

    def _learn(self, connection: Any) -> LSN | None:
        with self._timer.limit(ASK_TIMEOUT, lambda: break_off(connection)), connection.cursor() as cursor:
            try:
                cursor.execute(_ASK_HISTORY)
                self._history = _History(*cursor.fetchone())
            except psycopg2.errors.InsufficientPrivilege:
                self._warn()
                self._history = None
            cursor.execute(_ASK_REPLAYED)
            replayed = cursor.fetchone()[0]
        return None if replayed is None else LSN.parse(replayed)

    def _warn(self) -> None:
        if not self._warned:
            log.warning(
                "this role may not ask the replica which system and timeline it follows, so reads after a failover can "
                "be stale; GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint(), "
                "pg_control_recovery() to it"
            )
        self._warned = True

    def _elsewhere(self, position: Position) -> ReplicationTimeout:
        history = self._history
        if history is None:
            found = "cannot be asked for its timeline"
        elif history.system != position.system:
            found = f"belongs to another system ({history.system}, not {position.system})"
        else:
            found = f"is not known to be on a later timeline than {history.timeline}"
        return ReplicationTimeout(f"committed at {position}, but this region's replica {found}", lsn=position.lsn)


def _covers(history: _History | None, position: Position) -> bool:
    return history is not None and history.system == position.system and history.timeline >= position.timeline
