"""Delayed calls of functions, which can be cancelled; one thread makes all of them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..deadline import now
from .forks import abandon_in_children

log = logging.getLogger("fly_orm")

#: Seconds without a pending call after which the thread ends. A new one costs about 0.1 ms.
LINGER = 2.0


class TimerClosed(RuntimeError):
    """The timer has been closed and accepts no more calls."""


class Timer:
    """Calls functions after a delay, on a thread that all timers of the process share. Thread-safe and fork-safe.

    A function must return soon, since the others wait for it. What it raises is logged. :class:`threading.Timer` would
    cost a thread for each pending call, and every request on the primary has one. A forked child has no pending calls.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._closed = False

    def call_later(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call ``function`` after ``seconds``; returns a function that cancels the call, if it has not begun.

        TimerClosed after :meth:`close`.
        """
        call = _Call(self, function)
        with _calls.changed:
            if self._closed:
                raise TimerClosed(f"{self._name} is closed")
            _calls.add(now() + seconds, call)

        def cancel() -> None:
            # The entry stays in the heap for a while: to remove it here would mean a search through all.
            with _calls.changed:
                call.function = None

        return cancel

    @contextmanager
    def limit(self, seconds: float | None, function: Callable[[], None]) -> Iterator[None]:
        """Call ``function`` if the block takes longer than ``seconds``; None is no limit.

        A call that has just begun when the block ends is not waited for.
        """
        if seconds is None:
            yield
            return
        cancel = self.call_later(seconds, function)
        try:
            yield
        finally:
            cancel()

    def close(self) -> None:
        """Cancel all pending calls, and wait for the one that is being made, if there is one."""
        with _calls.changed:
            self._closed = True
            _calls.drop(self)

    def __str__(self) -> str:
        return self._name


class _Call:
    """A pending call; ``function`` is None once the call has been cancelled."""

    def __init__(self, timer: Timer, function: Callable[[], None]) -> None:
        self.timer = timer
        self.function: Callable[[], None] | None = function


class _Calls:
    """The pending calls of the process, and the thread that makes them, which ends when there are none."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.changed = threading.Condition()
        """Held while anything here is read or changed."""
        self._pending: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._running: Timer | None = None
        """The timer whose call is being made."""
        self._tidy_at = self._idle_since = 0.0

    def add(self, at: float, call: _Call) -> None:
        """Add a call, for the instant ``at``. RuntimeError if no thread can be started."""
        if self._thread is None:
            abandon_in_children(self)
            thread = threading.Thread(target=self._run, name="fly_orm timer", daemon=True)
            thread.start()
            self._thread = thread
        heapq.heappush(self._pending, (at, next(self._order), call))
        if self._pending[0][2] is call:
            self.changed.notify_all()

    def drop(self, timer: Timer) -> None:
        """Cancel the calls of a timer, and wait for the one that is being made."""
        self._keep(lambda call: call.timer is not timer and call.function is not None)
        if not self._pending:
            self._idle_since = -LINGER  # the thread ends at once
            self.changed.notify_all()
        # A function that is called by a timer may close it, and cannot wait for its own thread.
        if self._thread is not threading.current_thread():
            self.changed.wait_for(lambda: self._running is not timer)

    def abandon(self) -> None:
        """Begin anew in a forked child, where there is no such thread."""
        self._begin()

    def _keep(self, wanted: Callable[[_Call], bool]) -> None:
        self._pending = [entry for entry in self._pending if wanted(entry[2])]
        heapq.heapify(self._pending)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            timer, function = call
            try:
                function()
            except Exception:  # for instance, no thread could be started; later calls must be made all the same
                log.exception("%s: a call failed", timer)
            del call, timer, function  # while the thread waits, it must not keep them alive

    def _next(self) -> tuple[Timer, Callable[[], None]] | None:
        """The next call, once it is due; None if there has not been one to wait for, and the thread has to end."""
        with self.changed:
            self._running = None
            self.changed.notify_all()
            self._idle_since = now()
            while True:
                if now() >= self._tidy_at:
                    self._keep(lambda call: call.function is not None)
                    self._tidy_at = now() + LINGER
                if self._pending:
                    self._idle_since = now()
                    if (due := self._pop_due()) is not None:
                        return due
                elif now() >= self._idle_since + LINGER:
                    self._thread = None
                    return None
                self.changed.wait(min(self._pending[0][0] - now(), LINGER) if self._pending else LINGER)

    def _pop_due(self) -> tuple[Timer, Callable[[], None]] | None:
        """Remove the calls that are due or cancelled, up to the first that has to be made."""
        while self._pending and (self._pending[0][2].function is None or self._pending[0][0] <= now()):
            _, _, call = heapq.heappop(self._pending)
            if call.function is not None:
                self._running = call.timer
                return call.timer, call.function
        return None


_calls = _Calls()
