"""The threads that wait for one replica, one of which queries it for all of them."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from ..concurrency.latch import Bell
from ..deadline import Deadline, now
from ..lsn import LSN


class WaitingThread:
    """A thread in the queue: the LSN that it waits for, since when, and how it is woken."""

    def __init__(self, lsn: LSN, *, answer_by: float) -> None:
        self.lsn = lsn
        self.answer_by = answer_by
        """When the replica must have answered its last query (monotonic)."""
        self.since = now()
        self.reached = False
        """Whether the replica has replayed the LSN."""
        self.closed = False
        """Whether the queue was closed before that."""
        self.woken = Bell()


class WaitQueue:
    """The waiting threads, lowest LSN first. One of them is the *poller*, until it leaves the queue. Thread-safe.

    Whenever there is no poller, the first thread has been woken to become it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[LSN, int, WaitingThread]] = []
        self._order = itertools.count()  # threads do not compare, and may wait for the same LSN
        self._poller: WaitingThread | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._heap)

    def join(self, thread: WaitingThread) -> bool:
        """Add a thread; whether it is the poller. If the queue is closed, mark the thread as closed instead."""
        with self._lock:
            if self._closed:
                thread.closed = True
                return False
            heapq.heappush(self._heap, (thread.lsn, next(self._order), thread))
            if self._poller is None:
                self._poller = thread
                return True
            self._poller.woken.ring()  # it may sleep for longer than this thread should wait
            return False

    def become_poller(self, thread: WaitingThread) -> bool:
        """Whether this thread is the poller from now on, until it leaves."""
        with self._lock:
            if self._poller is None:
                self._poller = thread
            return self._poller is thread

    @property
    def poller(self) -> WaitingThread | None:
        """The thread that queries the replica, if there is one."""
        return self._poller

    def leave(self, thread: WaitingThread) -> None:
        """Remove a thread for whatever reason, and let the first of the others become the poller if there is none.

        Every thread does so, not only the poller: one that was woken to take over may have timed out instead. To do it
        again makes no difference.
        """
        with self._lock:
            if not thread.reached:  # one that is has been removed already
                self._heap = [entry for entry in self._heap if entry[2] is not thread]
                heapq.heapify(self._heap)
            while self._heap and self._heap[0][2].reached:  # unless a poller was interrupted before it did so
                heapq.heappop(self._heap)
            if self._poller is thread:
                self._poller = None
            if self._poller is None and self._heap:
                self._heap[0][2].woken.ring()

    def lowest(self, thread: WaitingThread) -> LSN:
        """The lowest LSN that any thread waits for, at most that of ``thread``."""
        with self._lock:
            return self._heap[0][0] if self._heap else thread.lsn

    def advance(self, replayed: LSN) -> None:
        """Remove and wake the threads whose LSN the replica has replayed."""
        with self._lock:
            while self._heap and self._heap[0][0] <= replayed:
                thread = self._heap[0][2]
                thread.reached = True
                if thread is not self._poller:
                    thread.woken.ring()  # before it is removed: a poller that is interrupted in between is not missed
                heapq.heappop(self._heap)

    def sleep(self, poller: WaitingThread, pause: Callable[[float], float], deadline: Deadline) -> None:
        """Sleep until another thread joins or the deadline passes, at most for the seconds that ``pause`` returns.

        ``pause`` is called with the seconds that the latest thread to join has waited, since that one is the first to
        be delayed noticeably by a long sleep.
        """
        with self._lock:
            if not self._heap:
                return
            seconds = pause(now() - max(thread.since for _, _, thread in self._heap))
        if seconds:
            poller.woken.wait(deadline.within(seconds).remaining())

    def close(self) -> None:
        """Wake all threads and mark them as closed, and those that join later too."""
        with self._lock:
            self._closed = True
            for _, _, thread in self._heap:
                thread.closed = True
                thread.woken.ring()
            self._heap.clear()
