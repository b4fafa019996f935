"""A bounded pool of items that are costly to open, such as connections, channels and threads."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ..deadline import Deadline, now

T = TypeVar("T")


class PoolTimeout(Exception):
    """No item became free before the deadline, or the pool was closed."""


class _WaitingCaller(Generic[T]):
    """A caller in the queue. Once served, it has an item, or may open one if ``item`` is None."""

    def __init__(self) -> None:
        self.served = threading.Event()
        self.item: T | None = None
        self.error: Exception | None = None
        """What kept others from opening an item, which it would meet as well."""
        self.pool_closed = False


class Pool(Generic[T]):
    """At most ``max_size`` items, opened on demand and lent to one caller at a time. Thread-safe.

    Callers are served in the order in which they came (FIFO), so that none of them starves. Items are lent in the
    opposite order (LIFO): the one used last is the least likely to have been lost since, and spare ones stay idle.

    open: opens an item by the deadline, which is that of the caller that needs it. It is called without the pool's
    lock, by several threads at once, and may raise anything.
    close: closes an item; it must not raise.
    max_opening: the most items that are opened at a time, by default any number. The other callers wait for their turn
    or for an item that is released before; if an attempt fails, they get a copy of its error.
    """

    def __init__(
        self,
        open: Callable[[Deadline], T],  # noqa: A002
        close: Callable[[T], None],
        *,
        max_size: int,
        max_opening: int | None = None,
    ) -> None:
        self._open, self._close = open, close
        self._max_size = max_size
        self._max_opening = max_size if max_opening is None else max_opening
        self._shares_errors = max_opening is not None
        self._lock = threading.Lock()
        self._idle: list[tuple[float, T]] = []
        """The idle items, and since when they are; the one that has been idle for longest is the first."""
        self._waiting: deque[_WaitingCaller[T]] = deque()
        self._size = 0
        """How many items are open or being opened."""
        self._opening = 0
        """How many of them are being opened."""
        self._closed = False

    def acquire(self, deadline: Deadline, suits: Callable[[T], int] = lambda _item: 1) -> T:
        """An item for this caller alone, who must release or discard it.

        It is one of the idle items that suit the caller best. If none suits it, which ``suits`` says by 0, it is a new
        one if there is a place for that, and any idle one otherwise.

        PoolTimeout if none became free by the deadline, or what ``open`` raises.
        """
        with self._lock:
            best = max(reversed(self._idle), key=lambda idle: suits(idle[1]), default=None)  # of equals, the last
            if best is not None and (suits(best[1]) or self._size >= self._max_size):
                self._idle.remove(best)
                return best[1]
            caller = self._reserve_or_queue()
        if caller is not None:
            self._wait(caller, deadline)
            if caller.pool_closed:
                raise PoolTimeout("the pool was closed")
            if caller.error is not None:
                raise copy.copy(caller.error) from caller.error
            if caller.item is not None:
                return caller.item
        # Without the lock: to connect may take as long as the deadline allows, and others can go on meanwhile.
        return self._open_one(deadline)

    def release(self, item: T) -> None:
        """Take an item back, for the caller that has waited longest or to stay idle; close it if the pool is closed."""
        with self._lock:
            if not self._closed:
                if self._waiting:
                    self._serve(item)
                else:
                    self._idle.append((now(), item))
                return
        self._close(item)

    def discard(self, item: T) -> None:
        """Close an item that is no longer usable, so that another can be opened in its place."""
        with self._lock:  # first: to close it may take a while, and a waiting caller can open another meanwhile
            self._size -= 1
            self._let_open()
        self._close(item)

    def replace(self, item: T, deadline: Deadline) -> T:
        """Close an item that is of no use to its caller, and open another in its place; raises what ``open`` raises.

        The caller keeps its place. In the queue again, it would meet such an item each time while others wait.
        """
        self._close(item)
        with self._lock:
            self._opening += 1
        return self._open_one(deadline)

    def warm(self, count: int, deadline: Deadline) -> None:
        """Open items until ``count`` are idle or the pool is full; raises what ``open`` raises."""
        while True:
            with self._lock:
                if self._closed or len(self._idle) >= count or not self._may_open:
                    return
                self._reserve()
            self.release(self._open_one(deadline))

    def lacks(self, count: int) -> bool:
        """Whether fewer than ``count`` items are idle, and there is room for more."""
        with self._lock:
            return not self._closed and len(self._idle) < count and self._may_open

    @property
    def size(self) -> int:
        """How many items are open or being opened."""
        return self._size

    @property
    def has_idle(self) -> bool:
        """Whether an item is idle."""
        return bool(self._idle)

    def close_idle(self, seconds: float, last: float | None = None) -> float | None:
        """Close the items that have been idle for this long; the one used last only after ``last`` seconds, if given.

        Returns the seconds until another one has been; None if no item is idle any more.
        """
        with self._lock:
            ends = [since + seconds - now() for since, _ in self._idle]
            if ends and last is not None:
                ends[-1] += last - seconds
            old = [item for end, (_, item) in zip(ends, self._idle, strict=True) if end <= 0]
            self._idle = [entry for end, entry in zip(ends, self._idle, strict=True) if end > 0]
            self._size -= len(old)
        for item in old:
            self._close(item)
        return min((end for end in ends if end > 0), default=None)

    def close(self) -> None:
        """Close the idle items now and the others when they come back. Callers in the queue get PoolTimeout."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            while self._waiting:
                self._waiting[0].pool_closed = True
                self._serve(None)
        for _, item in idle:
            self._close(item)

    def _reserve_or_queue(self) -> _WaitingCaller[T] | None:
        """Reserve a place for a new item and return None; if the caller cannot open one now, put it into the queue."""
        if self._may_open:
            self._reserve()
            return None
        caller: _WaitingCaller[T] = _WaitingCaller()
        self._waiting.append(caller)
        return caller

    def _wait(self, caller: _WaitingCaller[T], deadline: Deadline) -> None:
        try:
            if caller.served.wait(deadline.remaining()):
                return
        except BaseException:  # KeyboardInterrupt, for instance; what the caller was given must not be lost
            if not self._withdraw(caller):
                self._give_back(caller)
            raise
        # Between the timeout and the lock, another thread may have served this caller. Nobody else would use that item.
        if not self._withdraw(caller):
            return
        raise PoolTimeout(f"all {self._max_size} stayed in use for {deadline}")

    def _give_back(self, caller: _WaitingCaller[T]) -> None:
        if caller.item is not None:
            self.release(caller.item)
        elif caller.error is None and not caller.pool_closed:
            self._opened(failed=True)

    def _withdraw(self, caller: _WaitingCaller[T]) -> bool:
        """Take the caller out of the queue; False if it has been served already."""
        with self._lock:
            if caller in self._waiting:
                self._waiting.remove(caller)
                return True
            return False

    @property
    def _may_open(self) -> bool:
        return self._size < self._max_size and self._opening < self._max_opening

    def _reserve(self) -> None:
        """Take a place, in which an item is opened."""
        self._size += 1
        self._opening += 1

    def _open_one(self, deadline: Deadline) -> T:
        """Open an item in a place that was reserved."""
        try:
            item = self._open(deadline)
        except BaseException as error:
            self._opened(failed=True, error=error)
            raise
        self._opened()
        return item

    def _opened(self, *, failed: bool = False, error: BaseException | None = None) -> None:
        """Note that an attempt to open an item is over, and let callers in the queue make the next one."""
        with self._lock:
            self._opening -= 1
            self._size -= failed
            if self._shares_errors and isinstance(error, Exception):
                while self._waiting:
                    self._waiting[0].error = error
                    self._serve(None)
            self._let_open()

    def _let_open(self) -> None:
        """Let as many callers in the queue open an item as may."""
        while self._waiting and self._may_open:
            self._reserve()
            self._serve(None)

    def _serve(self, item: T | None) -> None:
        """Hand an item, or None for a place, to the first caller in the queue."""
        # Waking the caller to look for itself would let a newcomer take the item first.
        caller = self._waiting.popleft()
        caller.item = item
        caller.served.set()
