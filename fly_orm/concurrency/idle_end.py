"""Ends something that nobody has used for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakMethod

from .patience import Patience
from .timer import Timer


class IdleEnd:
    """Calls a method of its owner once nothing has been used for as long as :class:`Patience` allows. Thread-safe.

    The owner is not kept alive for that. The method is called on the timer's thread, and has to return soon. It may be
    called while something is in use, which it has to leave alone: the end of that use is noted, too.
    """

    def __init__(self, timer: Timer, end: Callable[[], object]) -> None:
        """``end`` is a bound method."""
        self._timer = timer
        self._end = WeakMethod(end)
        self._patience = Patience()
        self._lock = threading.Lock()
        self._is_watched = False

    def opened(self) -> None:
        """Note that something had to be opened, before its use is noted."""
        self._patience.opened()

    def used(self) -> None:
        """Note the end of a use. Never raises: without a thread for the timer, the next use tries again."""
        self._patience.used()
        if self._is_watched:  # nearly always
            return
        try:
            with self._lock:
                if self._is_watched:
                    return
                self._is_watched = True
            self._look_later()
        except BaseException:  # an interrupt: to be watched twice does no harm
            self._is_watched = False
            raise

    def _look_later(self) -> None:
        try:
            self._timer.call_later(self._patience.left, self._look)
        except RuntimeError:  # the timer is closed, or no thread can be started
            self._is_watched = False

    def _look(self) -> None:
        if self._patience.left > 0:
            self._look_later()
            return
        self._is_watched = False
        if (end := self._end()) is not None:
            end()
