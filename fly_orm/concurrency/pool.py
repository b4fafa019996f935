"""A bounded pool of things that are costly to open."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ..deadline import Deadline

T = TypeVar("T")


class PoolTimeout(Exception):
    """Every item stayed in use until the deadline."""


class _Waiter(Generic[T]):
    """A caller in line; it is given an item, or leave to open one."""

    def __init__(self) -> None:
        self.served = threading.Event()
        self.item: T | None = None
        self.turned_away = False
        """Whether the pool was closed meanwhile."""


class Pool(Generic[T]):
    """At most ``max_size`` items, opened on demand, lent to one caller at a time.

    Waiting callers are served first come, first served; the item used last is lent first, so that spare ones stay idle.
    Thread-safe. ``open`` is called without the pool's lock and may raise anything.
    """

    def __init__(self, open: Callable[[Deadline], T], close: Callable[[T], None], *, max_size: int) -> None:  # noqa: A002
        self._open, self._close = open, close
        self._max_size = max_size
        self._lock = threading.Lock()
        self._idle: list[T] = []
        self._waiters: deque[_Waiter[T]] = deque()
        self._size = 0
        self._closed = False

    def acquire(self, deadline: Deadline) -> T:
        """An item for the caller alone, to be released or discarded; PoolTimeout if none is free in time."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            waiter = self._join_line()
        if waiter is not None:
            self._wait(waiter, deadline)
            if waiter.turned_away:
                raise PoolTimeout("the pool was closed")
            if waiter.item is not None:
                return waiter.item
        return self._open_one(deadline)

    def release(self, item: T) -> None:
        """Take an item back for others."""
        with self._lock:
            if not self._closed:
                if self._waiters:
                    self._serve(item)
                else:
                    self._idle.append(item)
                return
        self._close(item)

    def discard(self, item: T) -> None:
        """Close an item that is of no further use, making room for another."""
        self._leave_room()
        self._close(item)

    def warm(self, count: int, deadline: Deadline) -> None:
        """Open items until ``count`` are idle, or the pool is full."""
        while True:
            with self._lock:
                if self._closed or len(self._idle) >= count or self._size >= self._max_size:
                    return
                self._size += 1
            self.release(self._open_one(deadline))

    def lacks(self, count: int) -> bool:
        """Whether fewer than ``count`` items are idle, and there is room for more."""
        with self._lock:
            return not self._closed and len(self._idle) < count and self._size < self._max_size

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back; turn away who is in line."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            while self._waiters:
                self._waiters[0].turned_away = True
                self._serve(None)
        for item in idle:
            self._close(item)

    def _join_line(self) -> _Waiter[T] | None:
        """A place in line; None if there is room to open another item, which is then taken."""
        if self._size < self._max_size:
            self._size += 1
            return None
        waiter: _Waiter[T] = _Waiter()
        self._waiters.append(waiter)
        return waiter

    def _wait(self, waiter: _Waiter[T], deadline: Deadline) -> None:
        try:
            if waiter.served.wait(deadline.remaining()):
                return
        except BaseException:
            if not self._withdraw(waiter):
                self._give_back(waiter)
            raise
        if not self._withdraw(waiter):
            return  # served in the last moment
        raise PoolTimeout(f"all {self._max_size} stayed in use for {deadline}")

    def _give_back(self, waiter: _Waiter[T]) -> None:
        if waiter.item is None:
            self._leave_room()
        else:
            self.release(waiter.item)

    def _withdraw(self, waiter: _Waiter[T]) -> bool:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                return True
            return False

    def _open_one(self, deadline: Deadline) -> T:
        try:
            return self._open(deadline)
        except BaseException:
            self._leave_room()
            raise

    def _leave_room(self) -> None:
        with self._lock:
            if self._waiters:
                self._serve(None)
            else:
                self._size -= 1

    def _serve(self, item: T | None) -> None:
        waiter = self._waiters.popleft()
        waiter.item = item
        waiter.served.set()
