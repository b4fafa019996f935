"""Ends statements whose time is over, and those whose results, or one row of a COPY, are too long, while they run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..concurrency.timer import Timer, TimerClosed
from ..deadline import now
from .received import received_bytes
from .running_statement import CANCEL_TIMEOUT, RunningStatement

log = logging.getLogger("fly_orm")

#: Seconds between two looks at the statements that run: what arrives in between is over and above the limit.
INTERVAL = 0.02
#: Bytes over and above the limit that are let in, since what is measured is not exact. What is within them has been
#: read when its length is checked.
_SLACK = 2 * 2**20
#: Looks at nothing after which the looking ends until the next statement, which is then dearer by some microseconds.
_IDLE_LOOKS = 50


class Watchdog:
    """Looks at all the statements that run, many times a second. Thread-safe.

    Most statements end before the first look, and cost nothing but their place in a set. An alarm for each of them
    would have to be set and cancelled. One thread at a time may begin and end the watch of one statement.
    """

    def __init__(self, timer: Timer, most: int) -> None:
        """``most`` is how many bytes a statement may return."""
        self._timer = timer
        self.most = most
        self._watched: set[RunningStatement] = set()
        self.end: Callable[[RunningStatement], None] = self._watched.discard
        """Notes that a statement is over."""
        self._lock = threading.Lock()
        self._looking = False
        self._idle = 0

    def begin(self, running: RunningStatement) -> None:
        """Watch a statement from now on. RuntimeError if no thread can be started for that."""
        self._watched.add(running)  # before the flag is read: _look_again() reads them the other way round
        if not self._looking:
            with self._lock:
                if not self._looking:
                    self._idle = 0
                    self._look_later()

    def _look_later(self) -> None:
        self._looking = False
        try:
            self._timer.call_later(INTERVAL, self._look)
        except TimerClosed:
            return
        self._looking = True

    def _look(self) -> None:
        try:
            time = now()
            for running in self._watched.copy():
                self._look_at(running, time)
        finally:
            self._look_again()

    def _look_again(self) -> None:
        with self._lock:
            self._idle = 0 if self._watched else self._idle + 1
            if self._idle > _IDLE_LOOKS:
                self._looking = False
                if not self._watched:
                    return
            self._look_later()

    def _look_at(self, running: RunningStatement, time: float) -> None:
        try:
            if time >= running.ends_at:
                self._time_out(running, time)
            if running.is_measured and running.was_seen:
                self._measure(running)
            running.was_seen = True  # most end before another look, and to measure them would cost more than they do
        except RuntimeError as error:  # no thread can be started for cancelling; its connection will be ended
            log.warning(
                "could not cancel a statement: %s", error, extra={"event": "cancel_failed", "problem": str(error)}
            )

    def _time_out(self, running: RunningStatement, time: float) -> None:
        """Cancel the statement. If it goes on for a second all the same, end its connection."""
        if not running.is_timed_out:
            running.is_timed_out = True
            running.give_up()
        elif time >= running.ends_at + CANCEL_TIMEOUT:
            running.break_off()

    def _measure(self, running: RunningStatement) -> None:
        received, progress = received_bytes(running.connection, running.thread), running.progress()
        if running.received_before is None or progress != running.progress_before:
            running.received_before, running.progress_before = received, progress
        elif received is not None and received - running.received_before > self.most + _SLACK:
            self._stop(running, received - running.received_before)

    def _stop(self, running: RunningStatement, received: int) -> None:
        """Cancel the statement. If as much again arrives all the same, such as one huge value, end its connection."""
        if not running.is_too_long:
            running.is_too_long = True
            self._timer.call_later(CANCEL_TIMEOUT, running.break_off)
            running.cancel_soon()
        elif received > 2 * (self.most + _SLACK):
            running.break_off()
