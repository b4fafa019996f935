"""Work that is done ahead of need, while no caller waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ..errors import FlyOrmError
from .threads import start_thread


class BackgroundTask:
    """Runs a function on a thread of its own, one run at a time. Thread-safe.

    A FlyOrmError that the function raises is ignored: a caller that needs what it prepares will meet the same error and
    report it.
    """

    def __init__(self, name: str, function: Callable[..., None]) -> None:
        self._name = name
        self._function = function
        self._lock = threading.Lock()
        self._run_in_progress: object = None

    def start(self, *args: Any) -> None:
        """Start a run, unless one is in progress. Does nothing if no thread can be started."""
        run = object()
        try:
            with self._lock:
                if self._run_in_progress is None:
                    self._run_in_progress = run
                    start_thread(partial(self._run, run, args), self._name)
        except BaseException as error:
            self._end(run)  # even after an interrupt, when a run may have been started: its end is not waited for
            if not isinstance(error, RuntimeError):
                raise

    def _run(self, run: object, args: tuple[Any, ...]) -> None:
        try:
            with suppress(FlyOrmError):
                self._function(*args)
        finally:
            self._end(run)

    def _end(self, run: object) -> None:
        with self._lock:
            if self._run_in_progress is run:
                self._run_in_progress = None
