"""What a supervisor asks one process of a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..serving.readiness import Problem
from ..sharing.leash import ASK, Leash


class Questions:
    """Asks what keeps the process from being ready, and asks again only once it has answered. Thread-safe.

    A process that is stopped reads no questions: repeated ones would fill the pipe, and then block who asks.
    """

    def __init__(self, name: str) -> None:
        """``name`` is that of the worker."""
        self._name = name
        self._lock = threading.Lock()
        self._number = 0
        self._is_asked = False
        self._note: Callable[[list[Problem]], None] = _ignore
        """Takes the next answer."""

    def ask(self, leash: Leash, note: Callable[[list[Problem]], None]) -> None:
        """Ask; ``note`` is called with the answer on another thread, unless one that asks later gets it."""
        with self._lock:
            self._note = note
            if self._is_asked:
                return
            self._is_asked = True
            self._number += 1
        leash.send(**{ASK: self._number})

    def answered(self, message: dict[str, Any]) -> None:
        """Pass on an answer."""
        with self._lock:
            note, self._note, self._is_asked = self._note, _ignore, False
        note([Problem(f"{self._name}: {text}", detail) for text, detail in message["problems"]])


def _ignore(_: list[Problem]) -> None:
    pass
