"""Cleans released connections where no reply waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import psycopg2

from ..concurrency.latch import Latch
from ..concurrency.pool import Pool, PoolTimeout
from ..concurrency.threads import start_thread
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import Refused
from ..lsn import LSN
from .primary_connection import PrimaryConnection
from .unsent_commit import UnsentCommit

#: Seconds within which a connection must be set up, or cleaned. One that is not is closed, because a server that does
#: not answer must not hold up the cleaning of the others.
CLEAN_TIMEOUT = 3.0
#: Seconds after which the cleaner looks whether a commit was sent. Behind most of them comes another one meanwhile.
LOOK_AFTER = 0.001
#: Seconds after which it looks again if another one came. That has woken the senders, and has to be sent, too.
LOOK_AGAIN = 0.005


class Cleaner:
    """A thread that tidies connections and closes idle ones, while a pool has any. Thread-safe.

    close_idle: closes what has been idle for long; returns the seconds after which it wants to be called again.
    """

    def __init__(
        self,
        name: str,
        pool: Pool[PrimaryConnection],
        unsent: UnsentCommit,
        timer: Timer,
        close_idle: Callable[[], float],
    ) -> None:
        self._name = name
        self._pool, self._timer, self._close_idle = pool, timer, close_idle
        self._used: queue.SimpleQueue[PrimaryConnection | None] = queue.SimpleQueue()
        self._unsent = unsent
        self._lock = threading.Lock()
        self._closed = False
        self._ended: Latch | None = None
        """Set when the thread has ended; None if there is none."""

    def take(self, connection: PrimaryConnection) -> bool:
        """Tidy a connection, and give it back to the pool then; False if that is not possible any more."""
        with self._lock:
            # Behind the end mark of close(), nobody would find it.
            if self._closed or not self._runs():
                return False
            self._used.put(connection)
            return True

    def watch(self, *, look: bool = False) -> None:
        """Close a connection that has become idle when nobody uses it. ``look`` asks to look around at once."""
        with self._lock:
            if not self._closed and (self._ended is not None or self._runs()) and look:
                self._used.put(None)

    def look_later(self, seconds: float = LOOK_AFTER) -> None:
        """Have somebody look, after some seconds, whether the newest commit that may not have been sent was sent."""
        lsn = self._unsent.lsn
        try:
            self._timer.call_later(seconds, lambda: self._look(lsn))
        except RuntimeError:  # the timer is closed, or no thread can be started for it
            self._look(lsn)

    def _look(self, lsn: LSN | None) -> None:
        if self._unsent.begin_look(lsn):
            self._used.put(None)
        elif self._unsent.is_looked_at:
            self.look_later(LOOK_AGAIN)

    def close(self) -> None:
        """End the thread, once it has tidied what it was given."""
        with self._lock:
            self._closed = True
            self._used.put(None)
            ended = self._ended
        if ended is not None:
            ended.wait()

    def _runs(self) -> bool:
        """Whether there is a thread, which is started if need be. Under the lock."""
        if self._ended is None:
            ended, name = Latch(), self._name
            try:
                start_thread(lambda: self._run(ended), f"fly_orm cleaner of {name}")
            except RuntimeError:  # no thread can be started
                return False
            self._ended = ended
        return True

    def _run(self, ended: Latch) -> None:
        with self._lock:
            is_wanted = self._ended is ended  # unless the caller that started it was interrupted
        if is_wanted:
            try:
                while (connection := self._next_used()) is not None:
                    self._tidy(connection)
                    del connection
            finally:
                ended.set()

    def _next_used(self) -> PrimaryConnection | None:
        """The next released connection. None if the thread has to end: no connection is idle, or the pool is closed."""
        while True:
            try:
                if (used := self._used.get(timeout=self._close_idle())) is not None:
                    return used
                self._look_at_senders()
            except queue.Empty:
                pass
            with self._lock:  # so that what is released from now on finds that there is no thread
                if self._used.empty() and (self._closed or not self._pool.idle):
                    self._ended = None
                    return None

    def _tidy(self, connection: PrimaryConnection) -> None:
        try:
            with self._timer.limit(CLEAN_TIMEOUT, connection.break_off):
                connection.tidy()
        except psycopg2.Error:
            self._pool.discard(connection)
        else:
            self._pool.release(connection)

    def _look_at_senders(self) -> None:
        """Make sure that the last commit is sent, unless one behind it was."""
        if self._unsent.lsn is None or not self._pool.idle:  # whoever gives a connection back has it looked at
            return
        try:
            connection = self._pool.acquire(Deadline.after(0))
        except (PoolTimeout, psycopg2.Error, Refused):
            return
        connection.wal.to_send = self._unsent.take()
        self._tidy(connection)
