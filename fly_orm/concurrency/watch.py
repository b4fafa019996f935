"""Looks again and again, while something is in use, whether that takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakMethod

from .timer import Timer, TimerClosed

#: Seconds between two looks. What takes too long ends so much later.
INTERVAL = 0.1
#: Looks at nothing after which the looking ends until the next use, which is then dearer by some microseconds.
_IDLE_LOOKS = 10


class Watch:
    """Calls a method of its owner many times a second while there is something to look at. Thread-safe.

    A use that ends before the next look costs nothing. An alarm for each of them would have to be set and cancelled.
    The owner is not kept alive. The method is called on the timer's thread, has to return soon, and returns whether it
    has found anything in use.
    """

    def __init__(self, timer: Timer, look: Callable[[], bool]) -> None:
        """``look`` is a bound method."""
        self._timer = timer
        self._look = WeakMethod(look)
        self._lock = threading.Lock()
        self._looking = False
        self._idle = 0

    def begin(self) -> None:
        """Look from now on at what is in use already. TimerClosed, or RuntimeError if no thread can be started."""
        if not self._looking:
            with self._lock:
                if not self._looking:
                    self._idle = 0
                    self._look_later()

    def _look_later(self) -> None:
        self._looking = False
        self._timer.call_later(INTERVAL, self._look_now)
        self._looking = True

    def _look_now(self) -> None:
        found = True
        try:
            found = self._finds()
        finally:
            self._look_again(found)

    def _look_again(self, found: bool) -> None:
        with self._lock:
            self._idle = 0 if found else self._idle + 1
            if self._idle > _IDLE_LOOKS:
                self._looking = False
                if not self._finds():  # what began before that has found the flag set
                    return
            with suppress(TimerClosed):
                self._look_later()

    def _finds(self) -> bool:
        return (look := self._look()) is not None and look()
