"""What a supervisor asks one process of a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any

from ..deadline import now
from ..serving.readiness import Problem
from ..sharing.leash import ASK, Leash

#: Seconds after which a process that has not answered is asked a second time; each time doubles them.
FIRST_PAUSE = 5.0


class Questions:
    """Asks what keeps the process from being ready. Thread-safe.

    One that does not answer is asked more and more rarely: if it is stopped, it reads no questions, and many of them
    would fill the pipe, and then block who asks.
    """

    def __init__(self, name: str) -> None:
        """``name`` is that of the worker."""
        self._name = name
        self._lock = threading.Lock()
        self._number = 0
        self._asks_again_at = -inf
        """When to ask although the last question has no answer yet (monotonic)."""
        self._pause = FIRST_PAUSE
        self._note: Callable[[list[Problem]], None] = _ignore
        """Takes the next answer."""

    def ask(self, leash: Leash, note: Callable[[list[Problem]], None]) -> None:
        """Ask; ``note`` is called with the answer on another thread, unless one that asks later gets it."""
        with self._lock:
            self._note = note
            if now() < self._asks_again_at:
                return
            self._asks_again_at = now() + self._pause
            self._pause *= 2
            self._number += 1
            number = self._number
        leash.send(**{ASK: number})

    def answered(self, message: dict[str, Any]) -> None:
        """Pass on an answer."""
        with self._lock:
            note, self._note = self._note, _ignore
            self._asks_again_at, self._pause = -inf, FIRST_PAUSE
        note([Problem(f"{self._name}: {text}", detail) for text, detail in message["problems"]])


def _ignore(_: list[Problem]) -> None:
    pass
