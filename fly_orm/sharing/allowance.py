"""How many places a worker has at present: it borrows them from its siblings, and lends them what it does not use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ..deadline import Deadline, now
from .siblings import BORROW, Siblings
from .slots import Slots

#: Seconds between two attempts to borrow a place of one kind.
INTERVAL = 0.05
#: Seconds without use after which a place is lent. Less than that would close connections that are about to be used.
LEND_AFTER = 0.1
#: Seconds that siblings may take to answer.
_ANSWER_TIMEOUT = 0.2


class Places(Protocol):
    """What has as many places as its worker may use; :class:`fly_orm.concurrency.pool.Pool` is one."""

    def resize(self, max_size: int) -> None:
        """Use as many places from now on, which are not fewer than before, or of which none is in use yet."""
        ...

    def spare(self, seconds: float) -> bool:
        """Do without one of them if nobody has used it for so long; whether there was one."""
        ...


class Allowance:
    """The places of one kind that this worker has. Thread-safe."""

    def __init__(
        self, kind: str, places: Places, slots: Slots, siblings: Siblings, part: int, on_change: Callable[[int], None]
    ) -> None:
        """Take ``part`` places, or as many as are free. ``on_change`` is called with their number."""
        self._kind = kind.encode()
        self._places, self._slots, self._siblings, self._on_change = places, slots, siblings, on_change
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._ask_at = 0.0
        self._size = sum(slots.take() for _ in range(part))
        self._places.resize(self._size)
        on_change(self._size)

    def want(self) -> None:
        """Borrow a place if there is one, for somebody who waits. Called again and again as long as somebody does."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            if now() < self._ask_at:
                return
            if not self._slots.take():
                self._siblings.ask(BORROW, self._kind, Deadline.after(_ANSWER_TIMEOUT))
                if not self._slots.take():
                    self._ask_at = now() + INTERVAL
                    return
            with self._lock:
                self._size += 1
                self._places.resize(self._size)
                self._on_change(self._size)
        finally:
            self._asking.release()

    def lend(self) -> bool:
        """Give up a place that nobody uses, for a sibling; whether there was one."""
        with self._lock:
            if self._size < 2 or not self._places.spare(LEND_AFTER):  # one is never lent
                return False
            self._size -= 1
            self._on_change(self._size)
            self._slots.give()
            return True
