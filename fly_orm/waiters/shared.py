"""What all waiters have in common: threads that wait together, driven by one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2

from ..concurrency.timer import Timer, TimerClosed
from ..deadline import Deadline
from ..errors import NotAReplica, ReplicationTimeout
from ..lsn import LSN
from .line import Line, Waiting
from .replica import ANSWER_TIMEOUT, Replica
from .watch import Choice


class SharedWaiter:
    """Asks the replica over one connection of its own, one query at a time, however many wait.

    There is no thread: one of the waiting threads asks for all, and hands over to another when it is done. Nobody
    waiting means no query. What is asked is up to the watch that is chosen for the server's version.
    """

    def __init__(self, connect: Callable[[], Any], choose: Choice) -> None:
        self._line = Line()
        self._replica = Replica(connect, choose)
        self._timer = Timer("fly_orm waiter timer")

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``; see :class:`fly_orm.waiter.LSNWaiter`."""
        if (replayed := self._replica.shows(lsn)) is not None:
            return replayed
        me = Waiting(lsn)
        try:
            self._line.join(me)
            while not me.done:
                if me.turned_away:
                    raise self._closed(me)
                if self._line.take_turn(me):
                    self._ask_for_all(me, deadline)
                elif not me.woken.acquire(timeout=deadline.remaining()) and not me.done:
                    raise self._late(me, deadline)
        finally:
            self._line.leave(me)
        return max(self._replica.replayed, lsn)

    def close(self) -> None:
        """Close the connection to the replica; whoever waits, or comes later, gets ReplicationTimeout."""
        self._line.close()
        self._replica.close()
        self._timer.close()

    def _ask_for_all(self, me: Waiting, deadline: Deadline) -> None:
        """Ask until it is this thread's turn to leave; an error that comes of closing is none."""
        try:
            self._ask_until_done(me, deadline)
        except psycopg2.Error as error:
            if not me.turned_away:
                raise self._unanswered(me, error) from error
        except TimerClosed:
            if not me.turned_away:  # else it is the timer that was closed
                raise

    def _ask_until_done(self, me: Waiting, deadline: Deadline) -> None:
        left = deadline.remaining()
        limit = None if left is None else left + ANSWER_TIMEOUT
        with self._timer.limit(limit, self._replica.break_off):
            while not (me.done or me.turned_away):
                replayed = self._replica.ask(self._line.lowest(me), deadline)
                if replayed is None:
                    raise NotAReplica("this server is not in recovery, so there is no replay to wait for", lsn=me.lsn)
                self._line.advance(replayed)
                if not me.done:
                    if deadline.expired:
                        raise self._late(me, deadline)
                    self._line.sleep(self._replica.pause, deadline)

    def _late(self, me: Waiting, deadline: Deadline) -> ReplicationTimeout:
        replayed = self._replica.replayed
        return ReplicationTimeout(
            f"committed at {me.lsn}, but this region's replica has replayed only {replayed} within {deadline}",
            lsn=me.lsn,
            replayed=replayed,
        )

    def _unanswered(self, me: Waiting, error: psycopg2.Error) -> ReplicationTimeout:
        return ReplicationTimeout(
            f"committed at {me.lsn}, but this region's replica cannot be asked what it has replayed: {error}",
            lsn=me.lsn,
        )

    def _closed(self, me: Waiting) -> ReplicationTimeout:
        return ReplicationTimeout(
            f"committed at {me.lsn}, but the wait for this region's replica was closed", lsn=me.lsn
        )
