"""A semaphore whose slots callers take in turn, and which are not lost if a caller is interrupted."""

from __future__ import annotations

import threading
import weakref

from ..deadline import Deadline
from .latch import Latch

#: Seconds after which a caller in the queue looks whether a holder was dropped, since nobody tells.
LOOK_INTERVAL = 1.0


class Holder:
    """A caller that asks for a slot, or has one."""

    def __init__(self) -> None:
        self.admitted = Latch()


class FairSemaphore:
    """At most ``count`` callers have a slot, and get theirs in the order in which they came. Thread-safe.

    As a semaphore, but a slot belongs to its holder, and is free again once the holder is dropped. Take and leave it
    like this, so that an interrupt at any moment leaves it to others::

        holder = Holder()
        try:
            if semaphore.take(holder, timeout):
                ...
        finally:
            semaphore.leave(holder)
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._holders: list[weakref.ref[Holder]] = []
        """In the order in which they came; the first ``count`` have a slot. So no number can be wrong."""

    def take(self, holder: Holder, timeout: float | None = None) -> bool:
        """Wait for a slot, at most for ``timeout`` seconds; whether the holder has one."""
        with self._lock:
            self._holders.append(weakref.ref(holder))
            self._admit()
        deadline = Deadline.after(timeout)
        while not holder.admitted.wait(deadline.within(LOOK_INTERVAL).remaining()) and not deadline.expired:
            with self._lock:
                self._admit()
        return holder.admitted.is_set()

    def leave(self, holder: Holder) -> None:
        """Give the slot of a holder to the next one; or its place in the queue, if it has none."""
        try:
            self._remove(holder)
        except BaseException:  # an interrupt; a second time does no harm
            self._remove(holder)
            raise

    def _remove(self, holder: Holder) -> None:
        with self._lock:
            self._holders = [other for other in self._holders if other() is not holder]
            self._admit()

    def _admit(self) -> None:
        self._holders = [holder for holder in self._holders if holder() is not None]
        for reference in self._holders[: self._count]:
            if (holder := reference()) is not None:
                holder.admitted.set()
