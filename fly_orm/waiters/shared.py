"""What all waiters have in common: threads that wait together, one of which queries the replica for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import psycopg2

from ..concurrency.timer import Timer, TimerClosed
from ..concurrency.watch import Watch
from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..lsn import LSN
from .replica_connection import ANSWER_TIMEOUT, ReplicaConnection
from .strategy import ChooseStrategy
from .wait_queue import WaitingThread, WaitQueue


class SharedWaiter:
    """Queries the replica over one connection, one query at a time, however many threads wait. Thread-safe.

    No thread of its own asks: one of the waiting threads is the poller, and passes that role on when it leaves. So
    there are no queries while nobody waits, and the thread that gets the answer goes on without a switch to another.
    The strategy that is chosen for the server's version decides what is asked.
    """

    def __init__(self, connect: Callable[[], Any], choose: ChooseStrategy) -> None:
        self._choose = choose
        self._queue = WaitQueue()
        self._replica = ReplicaConnection(connect, choose)
        self._timer = Timer("the timer of the waiter")
        self._watch = Watch(self._timer, self._look)

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``; see :class:`fly_orm.waiter.LSNWaiter`."""
        if (replayed := self._replica.known_replayed(lsn)) is not None:
            return replayed
        # libpq waits for ever for a server that has vanished without closing the connection.
        me = WaitingThread(lsn, answer_by=deadline.at + ANSWER_TIMEOUT)
        try:
            polls = self._queue.join(me)
            while not me.reached:
                if me.closed:
                    raise self._closed(me)
                if polls or self._queue.become_poller(me):
                    self._poll(me, deadline)
                elif not me.woken.wait(deadline.remaining()) and not me.reached:
                    raise self._late(me, deadline)
        finally:
            # Even after KeyboardInterrupt: the others may be waiting for this thread to query the replica.
            try:
                self._queue.leave(me)
            except BaseException:
                self._queue.leave(me)
                raise
        # Another thread may have reconnected since, which makes the replay LSN unknown; this one has seen it reached.
        return max(self._replica.replayed, lsn)

    def check(self, version: int) -> None:
        """Raise ConfigurationError if there is no strategy for servers of this version, in libpq's notation."""
        self._choose(version)

    def close(self) -> None:
        """Close the connection to the replica. Current and later waits raise ReplicationTimeout."""
        self._queue.close()
        self._replica.close()
        self._timer.close()

    def _poll(self, me: WaitingThread, deadline: Deadline) -> None:
        """Query the replica for all threads until this one can go on; ignore errors caused by close()."""
        try:
            self._watch.begin()
            while not (me.reached or me.closed):
                replayed = self._replica.ask(self._queue.lowest(me), deadline)
                if replayed is None:
                    raise NotAReplica("this server is not in recovery, so there is no replay to wait for", lsn=me.lsn)
                self._queue.advance(replayed)
                if not me.reached:
                    if deadline.expired:
                        raise self._late(me, deadline)
                    self._queue.sleep(me, self._replica.pause, deadline)
        except psycopg2.Error as error:
            if not me.closed:
                raise self._unanswered(me, error) from error
        except TimerClosed:
            if not me.closed:
                raise

    def _look(self) -> bool:
        """Let the query of a poller that should have its answer by now fail; whether there is a poller."""
        poller = self._queue.poller
        if poller is not None and now() >= poller.answer_by:
            # Once for each question; and not if it is still connecting, which has a time limit of its own.
            poller.answer_by = math.inf if self._replica.break_off() else now() + ANSWER_TIMEOUT
        return poller is not None

    def _late(self, me: WaitingThread, deadline: Deadline) -> ReplicationTimeout:
        replayed = self._replica.replayed
        return ReplicationTimeout(
            f"committed at {me.lsn}, but this region's replica has replayed only up to {replayed} after {deadline}",
            lsn=me.lsn,
            replayed=replayed,
        )

    def _unanswered(self, me: WaitingThread, error: psycopg2.Error) -> ReplicationTimeout:
        return ReplicationTimeout(
            f"committed at {me.lsn}, but this region's replica cannot be asked what it has replayed: {error}",
            lsn=me.lsn,
        )

    def _closed(self, me: WaitingThread) -> ReplicationTimeout:
        return ReplicationTimeout(
            f"committed at {me.lsn}, but the waiter was closed before this region's replica had replayed that",
            lsn=me.lsn,
        )
