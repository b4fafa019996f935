"""A bounded pool of items that are costly to open, such as connections, channels and threads."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..deadline import Deadline, now
from .latch import Latch
from .pool_places import EXACT, Caller, Place, Usage, outstayed

T = TypeVar("T")

#: Seconds after which a caller in the queue looks whether an item was dropped, since nobody tells.
LOOK_INTERVAL = 1.0


class PoolTimeout(Exception):
    """No item became free before the deadline, or the pool was closed."""


class Pool(Generic[T]):
    """At most ``max_size`` items, opened on demand and lent to one caller at a time. Thread-safe.

    Callers are served in the order in which they came (FIFO), so that none of them starves. Items are lent in the
    opposite order (LIFO): the one used last is the least likely to have been lost since, and spare ones stay idle.

    A signal handler of the application may raise in any method. What the caller has asked for, or has given back, is
    then there for others; and an item that its user has dropped without a word no longer counts.

    open: opens an item by the deadline of the caller that needs it. It is called without the pool's lock, by several
    threads at once, and may raise anything. There can be weak references to an item.
    close: closes an item; it must not raise.
    max_opening: the most items that are opened at a time, by default any number. The other callers wait for their turn
    or for an item that is released before.
    shared: the class of errors of ``open`` that each caller in the queue would meet as well, and gets a copy of.
    """

    def __init__(
        self,
        open: Callable[[Deadline], T],  # noqa: A002
        close: Callable[[T], None],
        *,
        max_size: int,
        max_opening: int | None = None,
        shared: type[Exception] | tuple[()] = (),
    ) -> None:
        self._open, self._close = open, close
        self._max_size, self._shared = max_size, shared
        self._max_opening = max_size if max_opening is None else max_opening
        self._lock = threading.Lock()
        self._places: list[Place[T]] = []
        self._order, self._closed = itertools.count(), False
        self._waiting: list[Caller[T]] = []
        self._serving: Caller[T] | None = None
        """The caller that was served last, until it has been told."""

    def acquire(self, deadline: Deadline, suits: Callable[[T], int] | None = None) -> T:
        """An item for this caller alone, who must release or discard it.

        It is one of the idle items that suit the caller best, up to EXACT; by default, all do alike. If none suits it,
        which ``suits`` says by 0, it is a new one if there is a place for that, and any idle one otherwise.

        PoolTimeout if none became free by the deadline, or what ``open`` raises.
        """
        caller: Caller[T] = Caller()
        try:
            self._lend_or_queue(caller, suits)
            if caller.place is None:
                self._wait(caller, deadline)
            # Without the lock: to connect may take as long as the deadline allows, and others can go on meanwhile.
            item = self._open_one(caller, deadline) if caller.item is None else caller.item
        except BaseException:  # KeyboardInterrupt, for instance; what the caller was given must not be lost
            try:
                self._withdraw(caller)
            except BaseException:  # it was a timeout, and an interrupt comes only now
                self._withdraw(caller)
                raise
            raise
        return item

    def release(self, item: T) -> None:
        """Take an item back, for the caller that has waited longest or to stay idle; close it if the pool is closed."""
        place = use = None
        try:
            place = self._place_of(item)
            use = None if place is None else place.use
            self._take_back(place, item, use)
        except BaseException:  # an interrupt; a second time does no harm
            place = place or self._place_of(item)
            self._take_back(place, item, use or (place and place.use))
            raise
        if self._closed:
            self.close_idle(0)

    def discard(self, item: T) -> None:
        """Close an item that is no longer usable, so that another can be opened in its place."""
        try:  # first: to close it may take a while, and a waiting caller can open another meanwhile
            self._remove(item)
        except BaseException:
            self._remove(item)
            raise
        finally:
            self._close(item)

    def replace(self, item: T, deadline: Deadline) -> T:
        """Close an item that is of no use to its caller, and open another in its place; raises what ``open`` raises.

        The caller keeps its place. In the queue again, it would meet such an item each time while others wait.
        """
        caller: Caller[T] = Caller()
        try:
            with self._lock:
                if (place := self._place_of(item)) is not None:
                    place.reopens(caller)
            self._close(item)
            return self._open_one(caller, deadline)
        except BaseException:
            self._withdraw(caller)
            raise

    def warm(self, count: int, deadline: Deadline) -> None:
        """Open items until ``count`` are idle or the pool is full; raises what ``open`` raises."""
        while self.lacks(count):
            caller: Caller[T] = Caller()
            with self._lock:
                if not self._may_open:
                    return
                self._reserve(caller)
            try:
                item = self._open_one(caller, deadline)
            except BaseException:
                self._withdraw(caller)
                raise
            self.release(item)

    def lacks(self, count: int) -> bool:
        """Whether fewer than ``count`` items are idle, and there is room for more."""
        with self._lock:
            return not self._closed and len(self._idle) < count and self._may_open

    @property
    def size(self) -> int:
        """How many items are open or being opened."""
        with self._lock:
            return self._count()

    @property
    def idle(self) -> int:
        """How many items are idle."""
        return len(self._idle)

    def usage(self) -> Usage:
        """How it is used now."""
        with self._lock:
            return Usage(self._count(), len(self._idle), len(self._waiting), self._max_size)

    def close_idle(self, seconds: float, last: float | None = None, keep: int = 0) -> float | None:
        """Close the items that have been idle for this long; the one used last only after ``last`` seconds, if given.

        As many as ``keep`` says stay, those that were used last. Returns the seconds until another one has been; None
        if there is none.
        """
        with self._lock:
            old, left = outstayed(self._idle, seconds, last, keep)
            self._places = [place for place in self._places if place not in old]
        for place in old:
            if place.item is not None:
                self._close(place.item)
        return left

    def close(self) -> None:
        """Close the idle items now and the others when they come back. Callers in the queue get PoolTimeout."""
        try:
            self._end_queue()
        except BaseException:
            self._end_queue()
            raise
        self.close_idle(0)

    # Without the lock

    _look_interval = LOOK_INTERVAL

    def _look(self) -> None:
        """Do something, perhaps, for a caller that has waited for that long."""

    def _lend_or_queue(self, caller: Caller[T], suits: Callable[[T], int] | None) -> None:
        """Give the caller an idle item, or a place for a new one; if there is neither, put it into the queue."""
        with self._lock:
            if self._serving is not None:
                self._tell()
            best, suit = self._last_idle(), 1
            if best is not None and suits is not None and (suit := suits(best.item)) != EXACT:  # type: ignore[arg-type]
                found = [(suits(place.item), place.order, place) for place in self._places if place.item is not None]
                suit, _, best = max(found)
            if best is not None and (suit or self._count() >= self._max_size):
                self._lend(best, caller)
            elif self._may_open:
                self._reserve(caller)
            else:
                caller.served = Latch()
                self._waiting.append(caller)
            self._serving = None  # this caller need not be told

    def _wait(self, caller: Caller[T], deadline: Deadline) -> None:
        assert caller.served is not None  # noqa: S101  # since it is in the queue
        while not caller.served.wait(deadline.within(self._look_interval).remaining()):
            self._look()
            # Between the timeout and the lock, another thread may have served this caller. Nobody else would use that.
            with self._lock:
                self._serve_queue()
                late = caller in self._waiting and deadline.expired
            if late:
                raise PoolTimeout(f"all {self._max_size} stayed in use for {deadline}")
        if caller.pool_closed:
            raise PoolTimeout("the pool was closed")
        if caller.error is not None:
            raise copy.copy(caller.error) from caller.error

    def _open_one(self, caller: Caller[T], deadline: Deadline) -> T:
        """Open an item in the caller's place."""
        try:
            caller.item = item = self._open(deadline)
        except self._shared as error:
            self._share(error)
            raise
        with self._lock:
            if caller.place is not None:
                caller.place.opened(item)
            self._serve_queue()
        return item

    def _share(self, error: Exception) -> None:
        """Let all callers in the queue fail with an error."""
        with self._lock:
            self._tell()
            while self._waiting:
                self._waiting[0].error, self._serving = error, self._waiting[0]
                self._tell()

    def _end_queue(self) -> None:
        with self._lock:
            self._closed = True
            self._tell()
            while self._waiting:
                self._waiting[0].pool_closed, self._serving = True, self._waiting[0]
                self._tell()

    def _withdraw(self, caller: Caller[T]) -> None:
        """Leave to others what a caller was given, or asks for."""
        unfit = None
        with self._lock:
            if caller in self._waiting:
                self._waiting.remove(caller)
            if (place := caller.place) is not None and place.opening:
                self._places = [other for other in self._places if other is not place]
                unfit, caller.item = caller.item, None
            elif place is not None and caller.item is not None:
                self._let_idle(place, caller.item, caller.use)
            self._serve_queue()
        if unfit is not None:
            self._close(unfit)
        if self._closed:
            self.close_idle(0)

    def _place_of(self, item: T) -> Place[T] | None:
        """The place of an item; None if the item is not of this pool any more."""
        for place in self._places:
            if place.owner() is item:
                return place
        return None

    def _take_back(self, place: Place[T] | None, item: T, use: object) -> None:
        """Lend an item to the next caller, or let it be idle, unless that was done since this use of it."""
        with self._lock:
            if place is not None:
                self._let_idle(place, item, use)
            if self._waiting or self._serving is not None:
                self._serve_queue()

    def _remove(self, item: T) -> None:
        with self._lock:
            self._places = [place for place in self._places if place.owner() is not item]
            self._serve_queue()

    # Under the lock. An interrupt comes when a function begins, or when one in C has returned; so assignments in a row
    # are made all or not at all.

    @property
    def _idle(self) -> list[Place[T]]:
        return [place for place in self._places if place.item is not None]

    def _last_idle(self) -> Place[T] | None:
        """The place of the item that was used last, of those that are idle."""
        last = None
        for place in self._places:
            if place.item is not None and (last is None or place.order > last.order):
                last = place
        return last

    def _count(self) -> int:
        self._places = [place for place in self._places if place.item is not None or place.owner() is not None]
        return len(self._places)

    @property
    def _may_open(self) -> bool:
        return self._count() < self._max_size and sum(place.opening for place in self._places) < self._max_opening

    def _reserve(self, caller: Caller[T]) -> None:
        """Take a place, in which the caller opens an item."""
        place = Place(caller)
        caller.place, self._serving = place, caller
        self._places.append(place)

    def _lend(self, place: Place[T], caller: Caller[T]) -> None:
        """Give an idle item to a caller."""
        use = object()
        caller.place, caller.item, caller.use, self._serving = place, place.item, use, caller
        place.use, place.item = use, None

    def _let_idle(self, place: Place[T], item: T, use: object) -> None:
        if place.use is use and place.item is None:
            since, order = now(), next(self._order)
            place.use, place.since, place.order, place.item = None, since, order, item

    def _serve_queue(self) -> None:
        """Let as many callers in the queue go on as can, each with an idle item, or a place in which to open one."""
        self._tell()
        while self._waiting:
            if (idle := self._last_idle()) is not None:
                self._lend(idle, self._waiting[0])
            elif self._may_open:
                self._reserve(self._waiting[0])
            else:
                return
            self._tell()

    def _tell(self) -> None:
        """Tell the caller that was served last, and was perhaps not told because of an interrupt."""
        # Waking a caller to look for itself would let a newcomer take the item first.
        if (caller := self._serving) is not None:
            if caller in self._waiting:
                self._waiting.remove(caller)
            if caller.served is not None:
                caller.served.set()
            self._serving = None
