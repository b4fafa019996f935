"""Delayed calls of functions, which can be cancelled; one thread makes all of them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..deadline import now

log = logging.getLogger("fly_orm")


class _Call:
    """A pending call; ``function`` is None once the call has been cancelled."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function


class TimerClosed(RuntimeError):
    """The timer has been closed and accepts no more calls."""


class Timer:
    """Calls functions after a delay, on a thread of its own, which starts with the first call. Thread-safe.

    A function must return soon, since the others wait for it. What it raises is logged. :class:`threading.Timer` would
    cost a thread for each pending call, and every request on the primary has one.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._pending: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_later(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call ``function`` after ``seconds``; returns a function that cancels the call, if it has not begun.

        TimerClosed after :meth:`close`.
        """
        call = _Call(function)
        with self._changed:
            if self._closed:
                raise TimerClosed(f"{self._name} is closed")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            heapq.heappush(self._pending, (now() + seconds, next(self._order), call))
            if self._pending[0][2] is call:
                self._changed.notify()

        def cancel() -> None:
            # The entry stays in the heap until it comes first: to remove it here would mean a search through all.
            with self._changed:
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
        """Cancel all pending calls and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        # A function that is called by this timer may close it, and cannot wait for its own thread.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except Exception:  # for instance, no thread could be started; later calls must be made all the same
                log.exception("%s: a call failed", self._name)

    def _next(self) -> Callable[[], None] | None:
        """The next function, once it is due; None when the timer is closed."""
        with self._changed:
            while not self._closed:
                if not self._pending:
                    self._changed.wait()
                    continue
                at, _, call = self._pending[0]
                if call.function is not None and at > now():
                    # The condition raises OverflowError for a longer timeout.
                    self._changed.wait(min(at - now(), threading.TIMEOUT_MAX))
                    continue
                heapq.heappop(self._pending)
                if call.function is not None:
                    return call.function
        return None
