"""The waiter for every version of Postgres: one shared poller, driven by the threads that wait."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from .alarm import Alarm
from .deadline import Deadline, now
from .errors import NotAReplica, ReplicationTimeout
from .libpq import break_off, has_input
from .lsn import LSN

#: A poll is followed by a sleep of an eighth of the time waited so far, within these bounds (seconds). So the overshoot
#: is a fraction of the lag, and the number of polls grows with its logarithm.
SHORTEST_SLEEP = 0.0005
LONGEST_SLEEP = 0.05
#: A replica that has not answered so many seconds after a wait should have ended is out of reach.
ANSWER_TIMEOUT = 1.0

_REPLAYED = "SELECT pg_last_wal_replay_lsn()::text, pg_is_in_recovery()"


class _Waiting:
    """One waiting thread: what it waits for, since when, and how it is woken."""

    def __init__(self, lsn: LSN) -> None:
        self.lsn = lsn
        self.since = now()
        self.done = False
        self.woken = threading.Semaphore(0)


class PollingWaiter:
    """Polls the replica's replay LSN over one connection of its own, one query at a time, however many wait.

    There is no thread: one of the waiting threads polls for all, and hands over to another when it is done. Nobody
    waiting means no query. Each poll is a statement of its own, since a query that lasts holds a snapshot, which can
    hold up the very replay it waits for.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._connection: Any = None
        self._alarm = Alarm("fly_orm waiter alarm")
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queue: list[tuple[LSN, int, _Waiting]] = []
        self._order = itertools.count()
        self._polling = False
        self._replayed = LSN(0)

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``; see :class:`fly_orm.waiter.LSNWaiter`."""
        if self._replayed >= lsn and self._connected():
            return self._replayed
        me = self._enqueue(lsn)
        try:
            while not me.done:
                if self._lead():
                    self._poll_for_all(me, deadline)
                elif not me.woken.acquire(timeout=deadline.remaining()):
                    raise self._late(lsn, deadline)
        finally:
            self._leave(me)
        return max(self._replayed, lsn)

    def close(self) -> None:
        """Close the connection to the replica; the next wait opens another."""
        alarm, self._alarm = self._alarm, Alarm("fly_orm waiter alarm")
        alarm.close()
        self._forget_connection()

    def _enqueue(self, lsn: LSN) -> _Waiting:
        me = _Waiting(lsn)
        with self._lock:
            heapq.heappush(self._queue, (lsn, next(self._order), me))
            # The poller may be asleep for longer than a newcomer wants: registering wakes it, and it asks again.
            self._arrived.notify()
        return me

    def _lead(self) -> bool:
        """Whether this thread is the one that polls from now on."""
        with self._lock:
            if self._polling:
                return False
            self._polling = True
            return True

    def _leave(self, me: _Waiting) -> None:
        if not me.done:
            with self._lock:
                self._queue = [entry for entry in self._queue if entry[2] is not me]
                heapq.heapify(self._queue)
                self._wake_next()

    def _wake_next(self) -> None:
        """Let one waiting thread look whether it has to poll."""
        if self._queue:
            self._queue[0][2].woken.release()

    def _poll_for_all(self, me: _Waiting, deadline: Deadline) -> None:
        answer_by = deadline.at + ANSWER_TIMEOUT
        left = deadline.remaining()
        limit = None if left is None else left + ANSWER_TIMEOUT
        try:
            with self._alarm.limit(limit, self._break_off):
                while not me.done:
                    self._advance(self._ask(me.lsn, answer_by))
                    if not me.done:
                        if deadline.expired:
                            raise self._late(me.lsn, deadline)
                        self._sleep(deadline)
        finally:
            with self._lock:
                self._polling = False
                self._wake_next()

    def _advance(self, replayed: LSN) -> None:
        with self._lock:
            self._replayed = replayed
            while self._queue and self._queue[0][0] <= replayed:
                waiting = heapq.heappop(self._queue)[2]
                waiting.done = True
                waiting.woken.release()

    def _sleep(self, deadline: Deadline) -> None:
        with self._lock:
            waited = now() - max(waiting.since for _, _, waiting in self._queue)
            pause = min(max(waited / 8, SHORTEST_SLEEP), LONGEST_SLEEP)
            self._arrived.wait(pause if (left := deadline.remaining()) is None else min(pause, left))

    def _ask(self, lsn: LSN, answer_by: float) -> LSN:
        try:
            replayed, in_recovery = self._query_or_reconnect(answer_by)
        except psycopg2.Error as error:
            raise ReplicationTimeout(
                f"committed at {lsn}, but this region's replica cannot be asked what it has replayed: {error}",
                lsn=lsn,
            ) from error
        if not in_recovery:
            raise NotAReplica("this server is not in recovery, so there is no replay to wait for", lsn=lsn)
        return LSN.parse(replayed) if replayed is not None else LSN(0)

    def _query_or_reconnect(self, answer_by: float) -> tuple[str | None, bool]:
        if self._connection is not None:
            try:
                return self._query()
            except psycopg2.Error:
                self._forget_connection()
                if now() >= answer_by:
                    raise  # it was out of reach; otherwise it may have restarted since it was last asked
        self._connection = self._connect()
        return self._query()

    def _query(self) -> tuple[str | None, bool]:
        with self._connection.cursor() as cursor:
            cursor.execute(_REPLAYED)
            row: tuple[str | None, bool] = cursor.fetchone()
            return row

    def _connected(self) -> bool:
        """Whether the server that was asked is still there: after a crash it may show less than it did."""
        try:
            return self._connection is not None and not has_input(self._connection)
        except (psycopg2.Error, OSError, ValueError):  # closed meanwhile
            return False

    def _break_off(self) -> None:
        if (connection := self._connection) is not None:
            break_off(connection)

    def _forget_connection(self) -> None:
        connection, self._connection = self._connection, None
        # Another connection may reach a server that was rebuilt and has replayed less.
        self._replayed = LSN(0)
        if connection is not None:
            connection.close()

    def _late(self, lsn: LSN, deadline: Deadline) -> ReplicationTimeout:
        return ReplicationTimeout(
            f"committed at {lsn}, but this region's replica has replayed only {self._replayed} within {deadline}",
            lsn=lsn,
            replayed=self._replayed,
        )
