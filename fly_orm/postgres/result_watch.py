"""Cancels statements whose results are too long while they arrive; those of a COPY, if one row is."""

from __future__ import annotations

import threading

from ..concurrency.timer import Timer, TimerClosed
from .received import received_bytes
from .running_statement import CANCEL_TIMEOUT, RunningStatement

#: Seconds between two looks at the statements that run: what arrives in between is over and above the limit.
INTERVAL = 0.02
#: Bytes over and above the limit that are let in, since what is measured is not exact. What is within them has been
#: read when its length is checked.
_SLACK = 2 * 2**20
#: Looks at nothing after which the looking ends until the next statement, which is then dearer by some microseconds.
_IDLE_LOOKS = 50


class _Watched:
    """One statement that is watched."""

    before: int | None = None
    """How many bytes its connection had received when it was first seen, or last made progress."""
    progress: object = None


class ResultWatch:
    """Watches running statements. Thread-safe; one thread at a time may begin and end the watch of one statement."""

    def __init__(self, timer: Timer, most: int) -> None:
        """``most`` is how many bytes a statement may return."""
        self._timer = timer
        self.most = most
        self._watched: dict[RunningStatement, _Watched] = {}
        self._lock = threading.Lock()
        self._looking = False
        self._idle = 0

    def begin(self, running: RunningStatement) -> None:
        """Watch a statement from now on; if it is watched already, another one of its connection begins."""
        self._watched[running] = _Watched()  # before the flag is read: _look() reads them the other way round
        if not self._looking:
            with self._lock:
                if not self._looking:
                    self._idle, self._looking = 0, True
                    self._look_later()

    def __contains__(self, running: RunningStatement) -> bool:
        return running in self._watched

    def end(self, running: RunningStatement) -> None:
        """Note that the statement is over."""
        self._watched.pop(running, None)

    def _look_later(self) -> None:
        try:
            self._timer.call_later(INTERVAL, self._look)
        except TimerClosed:
            self._looking = False

    def _look(self) -> None:
        for running, watched in list(self._watched.items()):
            received, progress = received_bytes(running.connection, running.thread), running.progress()
            if watched.before is None or progress != watched.progress:
                watched.before, watched.progress = received, progress
            elif received is not None and received - watched.before > self.most + _SLACK:
                self._stop(running, received - watched.before)
        with self._lock:
            self._idle = 0 if self._watched else self._idle + 1
            if self._idle > _IDLE_LOOKS:
                self._looking = False
                if not self._watched:
                    return
                self._looking = True
            self._look_later()

    def _stop(self, running: RunningStatement, received: int) -> None:
        """Cancel the statement. If as much again arrives all the same, such as one huge value, end its connection."""
        if not running.is_too_long:
            running.is_too_long = True
            running.cancel_soon()
            self._timer.call_later(CANCEL_TIMEOUT, running.break_off)
        elif received > 2 * (self.most + _SLACK):
            running.break_off()
