"""Delayed calls of functions, which can be cancelled; one thread makes all of them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import weakref
from collections.abc import Callable

from ..deadline import now
from .forks import abandon_in_children
from .latch import Bell, Latch
from .threads import start_thread

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
        self.name = name
        self.closed = False

    def call_later(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call ``function`` after ``seconds``; returns a function that cancels the call, if it has not begun.

        TimerClosed after :meth:`close`.
        """
        call = _Call(self, function)
        _calls.add(now() + seconds, self, lambda: call)
        return call.cancel

    def limit(self, seconds: float | None, function: Callable[[], None]) -> Limit:
        """A context manager that calls ``function`` if its block takes longer than ``seconds``; None is no limit.

        A call that has just begun when the block ends is not waited for.
        """
        return Limit(self, seconds, function)

    def close(self) -> None:
        """Cancel all pending calls, and wait for the one that is being made, if there is one."""
        _calls.drop(self)

    def __str__(self) -> str:
        return self.name


class _Call:
    """A pending call; ``function`` is None once the call has been cancelled."""

    def __init__(self, timer: Timer, function: Callable[[], None]) -> None:
        self.timer = timer
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        # The entry stays in the heap for a while: to remove it here would mean a search through all.
        self.function = None


class Limit(_Call):
    """The time limit of a block; see :meth:`Timer.limit`."""

    def __init__(self, timer: Timer, seconds: float | None, function: Callable[[], None]) -> None:
        super().__init__(timer, function)
        self._seconds = seconds

    def __enter__(self) -> None:
        if self._seconds is not None:
            # Weakly: an interrupt can keep __exit__ from being called, and the function must not be called then.
            _calls.add(now() + self._seconds, self.timer, weakref.ref(self))

    def __exit__(self, *_error: object) -> None:
        self.function = None


class _Running:
    """The call that is being made."""

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self.thread = threading.get_ident()
        self.ended = Latch()


class _Thread:
    """Stands for the thread that makes the calls."""


class _Calls:
    """The pending calls of the process, and the thread that makes them, which ends when there are none."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        """Held while anything here is read or changed."""
        self._changed = Bell()
        self._pending: list[tuple[float, int, Callable[[], _Call | None]]] = []
        self._order = itertools.count()
        self._thread: _Thread | None = None
        self._running: _Running | None = None
        self._tidy_at = self._idle_since = 0.0

    def add(self, at: float, timer: Timer, call: Callable[[], _Call | None]) -> None:
        """Add a call of a timer, for the instant ``at``. RuntimeError if no thread can be started."""
        with self._lock:
            if timer.closed:
                raise TimerClosed(f"{timer} is closed")
            if self._thread is None:
                abandon_in_children(self)
                thread = _Thread()
                start_thread(lambda: self._run(thread), "fly_orm timer")
                self._thread = thread
            heapq.heappush(self._pending, (at, next(self._order), call))
            if self._pending[0][2] is call:
                self._changed.ring()

    def drop(self, timer: Timer) -> None:
        """Close a timer: cancel its calls, and wait for the one that is being made."""
        with self._lock:
            timer.closed = True
            self._keep(lambda call: call.timer is not timer)
            if not self._pending:
                self._idle_since = -LINGER  # the thread ends at once
                self._changed.ring()
            running = self._running
        # A function that is called by a timer may close it, and cannot wait for its own thread.
        if running is not None and running.timer is timer and running.thread != threading.get_ident():
            running.ended.wait()

    def abandon(self) -> None:
        """Begin anew in a forked child, where there is no such thread."""
        self._begin()

    def _keep(self, wanted: Callable[[_Call], bool] = lambda _call: True) -> None:
        """Forget the calls that are not wanted, and those that were cancelled."""
        self._pending = [
            entry
            for entry in self._pending
            if (call := entry[2]()) is not None and call.function is not None and wanted(call)
        ]
        heapq.heapify(self._pending)

    def _run(self, thread: _Thread) -> None:
        while (call := self._next(thread)) is not None:
            timer, function = call
            try:
                function()
            except Exception:  # for instance, no thread could be started; later calls must be made all the same
                log.exception("%s: a call failed", timer, extra={"event": "internal_error", "timer": str(timer)})
            del call, timer, function  # while the thread waits, it must not keep them alive

    def _next(self, thread: _Thread) -> tuple[Timer, Callable[[], None]] | None:
        """The next call, once it is due; None if there has not been one to wait for, and the thread has to end."""
        with self._lock:
            if self._running is not None:
                self._running.ended.set()
                self._running = None
            self._idle_since = now()
        while True:
            with self._lock:
                if self._thread is not thread:  # the caller that started it was interrupted, and another one has begun
                    return None
                if now() >= self._tidy_at:
                    self._keep()
                    self._tidy_at = now() + LINGER
                if self._pending:
                    self._idle_since = now()
                    if (due := self._pop_due()) is not None:
                        return due
                elif now() >= self._idle_since + LINGER:
                    self._thread = None
                    return None
                pause = min(self._pending[0][0] - now(), LINGER) if self._pending else LINGER
            self._changed.wait(pause)

    def _pop_due(self) -> tuple[Timer, Callable[[], None]] | None:
        """Remove the calls that are due or cancelled, up to the first that has to be made."""
        while self._pending:
            at, _, made = self._pending[0]
            call = made()
            function = None if call is None else call.function
            if function is not None and at > now():
                return None
            heapq.heappop(self._pending)
            if call is not None and function is not None:
                self._running = _Running(call.timer)
                return call.timer, function
        return None


_calls = _Calls()
