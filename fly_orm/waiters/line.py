"""The threads that wait for one replica, of which one at a time asks it for all."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from ..deadline import Deadline, now
from ..lsn import LSN


class Waiting:
    """One waiting thread: what it waits for, since when, and how it is woken."""

    def __init__(self, lsn: LSN) -> None:
        self.lsn = lsn
        self.since = now()
        self.done = False
        self.turned_away = False
        """Whether the line was closed meanwhile."""
        self.woken = threading.Semaphore(0)


class Line:
    """Waiting threads, lowest LSN first, one of which has the turn: it asks, and hands over when it leaves.

    Whenever nobody has the turn, the first in line has been woken to take it. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queue: list[tuple[LSN, int, Waiting]] = []
        self._order = itertools.count()
        self._turn: Waiting | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, me: Waiting) -> None:
        """Get in line; turned away at once if it is closed."""
        with self._lock:
            if self._closed:
                me.turned_away = True
                return
            heapq.heappush(self._queue, (me.lsn, next(self._order), me))
            # Whoever has the turn may sleep for longer than a newcomer wants.
            self._arrived.notify()

    def take_turn(self, me: Waiting) -> bool:
        """Whether this thread is the one that asks from now on, until it leaves."""
        with self._lock:
            if self._turn is None:
                self._turn = me
            return self._turn is me

    def leave(self, me: Waiting) -> None:
        """Get out of line, for whatever reason; the next one takes the turn if nobody has it."""
        with self._lock:
            if not me.done:
                self._queue = [entry for entry in self._queue if entry[2] is not me]
                heapq.heapify(self._queue)
            if self._turn is me:
                self._turn = None
            if self._turn is None and self._queue:
                self._queue[0][2].woken.release()

    def lowest(self, me: Waiting) -> LSN:
        """The lowest LSN that is waited for, at most that of ``me``."""
        with self._lock:
            return self._queue[0][0] if self._queue else me.lsn

    def advance(self, replayed: LSN) -> None:
        """Wake all whose LSN is replayed."""
        with self._lock:
            while self._queue and self._queue[0][0] <= replayed:
                waiting = heapq.heappop(self._queue)[2]
                waiting.done = True
                waiting.woken.release()

    def sleep(self, pause: Callable[[float], float], deadline: Deadline) -> None:
        """Sleep for as long as ``pause`` says, by how long the last in line has waited, or until somebody joins."""
        with self._lock:
            if self._queue:
                seconds = pause(now() - max(waiting.since for _, _, waiting in self._queue))
                if seconds:
                    left = deadline.remaining()
                    self._arrived.wait(seconds if left is None else min(seconds, left))

    def close(self) -> None:
        """Turn everybody away, from now on too."""
        with self._lock:
            self._closed = True
            for _, _, waiting in self._queue:
                waiting.turned_away = True
                waiting.woken.release()
            self._queue.clear()
            self._arrived.notify_all()
