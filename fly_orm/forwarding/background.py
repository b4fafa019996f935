"""Work that is done ahead of need, while no caller waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import FlyOrmError


class BackgroundTask:
    """Runs a function on a thread of its own, one run at a time. Thread-safe.

    A FlyOrmError that the function raises is ignored: a caller that needs what it prepares will meet the same error and
    report it.
    """

    def __init__(self, name: str, function: Callable[..., None]) -> None:
        self._name = name
        self._function = function
        self._running = threading.Lock()

    def start(self, *args: Any) -> None:
        """Start a run, unless one is in progress. Does nothing if no thread can be started."""
        if self._running.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, args=args, name=self._name, daemon=True).start()
            except RuntimeError:
                self._running.release()

    def _run(self, *args: Any) -> None:
        try:
            with suppress(FlyOrmError):
                self._function(*args)
        finally:
            self._running.release()
