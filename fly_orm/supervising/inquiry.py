"""What the workers of a node answer when they are asked whether they are ready."""

from __future__ import annotations

import threading

from ..concurrency.latch import Latch
from ..deadline import Deadline
from ..serving.readiness import Problem


class Inquiry:
    """Collects the answers. Any thread may note one."""

    def __init__(self, asked: int) -> None:
        self._left = asked
        self._lock = threading.Lock()
        self._problems: list[Problem] = []
        self._is_ready = False
        self._decided = Latch()

    def note(self, problems: list[Problem]) -> None:
        """Note the answer of one worker."""
        with self._lock:
            self._left -= 1
            self._problems += problems
            self._is_ready = self._is_ready or not problems
            if self._is_ready or not self._left:
                self._decided.set()

    def problems(self, deadline: Deadline) -> list[Problem]:
        """What keeps all workers from being ready; empty as soon as one is."""
        self._decided.wait(deadline.remaining())
        with self._lock:
            if self._is_ready:
                return []
            silent = [Problem(f"{self._left} of its workers do not answer")] if self._left else []
            return [*self._problems, *silent]
