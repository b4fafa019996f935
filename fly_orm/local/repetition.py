"""Incidents that repeat because several servers answer at one address by turns, as they can behind a pooler."""

from __future__ import annotations

import math

from ..deadline import now

#: An incident repeats the one before if it begins within this many times the seconds that one had to last.
_WITHIN = 10
#: The longest time (seconds) that an incident has to last.
_LONGEST_HOLD = 60.0


class Repetition:
    """How long an incident has to last, so that its repetitions do not cost a timeout each.

    When the waiter's questions reach a late server and then another one, an incident ends at once, and begins again
    with the next wait. Each repetition has to last twice as long as the one before. Not thread-safe.
    """

    def __init__(self) -> None:
        self._hold = 0.0
        self._began = self._ended = -math.inf

    def begin(self, timeout: float | None) -> None:
        """Note that an incident begins with a wait of ``timeout`` seconds; None was no limit."""
        timeout = timeout or 0.0
        repeats = now() < self._ended + _WITHIN * max(self._hold, timeout)
        self._hold = min(max(2 * self._hold, timeout), _LONGEST_HOLD) if repeats else 0.0
        self._began = now()

    def end(self) -> None:
        """Note that it is over."""
        self._ended = now()

    @property
    def may_end(self) -> bool:
        """Whether it has lasted for long enough."""
        return now() >= self._began + self._hold
