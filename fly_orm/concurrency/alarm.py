"""Calls a function when a time is over, unless called off first; one thread for all."""

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
    """One pending call; ``function`` is None once it was called off."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function


class AlarmClosed(RuntimeError):
    """The alarm was closed, and will call nothing any more."""


class Alarm:
    """Pending calls and the thread that makes them. The functions must return soon; errors are logged. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._pending: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def set(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call ``function`` in so many seconds; returns what calls that off, if it is called in time."""
        call = _Call(function)
        with self._changed:
            if self._closed:
                raise AlarmClosed(f"{self._name} is closed")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            heapq.heappush(self._pending, (now() + seconds, next(self._order), call))
            if self._pending[0][2] is call:
                self._changed.notify()

        def call_off() -> None:
            with self._changed:
                call.function = None

        return call_off

    @contextmanager
    def limit(self, seconds: float | None, function: Callable[[], None]) -> Iterator[None]:
        """Call ``function`` if the block takes longer than ``seconds``; None is no limit."""
        if seconds is None:
            yield
            return
        call_off = self.set(seconds, function)
        try:
            yield
        finally:
            call_off()

    def close(self) -> None:
        """Call off everything and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except Exception:  # such as one for want of threads: those that come after it must be called all the same
                log.exception("%s: a call failed", self._name)

    def _next(self) -> Callable[[], None] | None:
        """The next function that is due, when it is; None at the end."""
        with self._changed:
            while not self._closed:
                if not self._pending:
                    self._changed.wait()
                    continue
                at, _, call = self._pending[0]
                if call.function is not None and at > now():
                    self._changed.wait(min(at - now(), threading.TIMEOUT_MAX))
                    continue
                heapq.heappop(self._pending)
                if call.function is not None:
                    return call.function
        return None
