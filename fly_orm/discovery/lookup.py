"""A question that is asked again and again: its last good answer serves while a newer one is fetched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotDelivered

log = logging.getLogger("fly_orm")

T = TypeVar("T")


class LookupFailed(FlyOrmError):
    """No answer was had; the message says what happened instead, in words that follow "gave"."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often questions are asked, in seconds."""

    max_age: float = 30.0
    """An answer that is older still serves, but is asked for again."""
    retry_interval: float = 5.0
    """After a failure, an old answer serves for so long before it is asked for again."""
    min_age: float = 1.0
    """A younger answer, or failure, counts as a fresh one."""


@dataclass(frozen=True, kw_only=True)
class _Outcome(Generic[T]):
    """What came of asking, when, and in words; ``value`` is None after a failure."""

    value: T | None
    said: str
    at: float

    @property
    def age(self) -> float:
        return now() - self.at

    def __str__(self) -> str:
        return f"{self.said} {self.age:.0f} s ago"


class Lookup(Generic[T]):
    """One question and its last good answer; it is asked once at a time, on a thread of its own. Thread-safe.

    ``wanted`` says in words what the answer tells, and ``question`` who is asked what. ``ask`` returns the answer and
    how to say it, or raises LookupFailed; it bounds its own time.
    """

    def __init__(self, wanted: str, question: str, ask: Callable[[], tuple[T, str]], pace: Pace) -> None:
        self._wanted = wanted
        self._question = question
        self._ask = ask
        self._pace = pace
        self._lock = threading.Lock()
        self._good: _Outcome[T] | None = None
        self._last: _Outcome[T] | None = None
        self._flight: threading.Event | None = None

    def get(self, deadline: Deadline) -> T:
        """The last good answer, at once; the first one is waited for. NotDelivered if there is none by the deadline."""
        with self._lock:
            good = self._good
            flight = self._start() if self._is_due() else None
        if good is None and flight is not None:
            flight.wait(deadline.remaining())
            good = self._good
        if good is None or good.value is None:
            raise NotDelivered(f"{self._wanted} cannot be told: {self}")
        return good.value

    def refresh(self, deadline: Deadline) -> None:
        """Ask again, unless that was done just now, and wait for the answer until the deadline."""
        with self._lock:
            recent = self._last is not None and self._last.age < self._pace.min_age
            flight = self._flight if recent else self._start()
        if flight is not None:
            flight.wait(deadline.remaining())

    def __str__(self) -> str:
        good, last = self._good, self._last
        if last is None:
            return f"{self._question} has not been answered yet"
        return f"{self._question} gave {last}" + (f", and {good} before that" if good and good is not last else "")

    def _is_due(self) -> bool:
        if self._good is None or self._last is None:
            return True
        if self._last is not self._good and self._last.age < self._pace.retry_interval:
            return False
        return self._good.age >= self._pace.max_age

    def _start(self) -> threading.Event:
        """Ask in the background, if nobody does already; returns what is set when it was answered."""
        if self._flight is not None:
            return self._flight
        flight = threading.Event()
        try:
            threading.Thread(target=self._fly, name="fly_orm lookup", daemon=True).start()
        except RuntimeError as error:  # no more threads to be had
            self._last = _Outcome(value=None, said=f"nothing ({error})", at=now())
            flight.set()
        else:
            self._flight = flight
        return flight

    def _fly(self) -> None:
        outcome: _Outcome[T] = _Outcome(value=None, said="an error in fly_orm", at=now())
        try:
            value, said = self._ask()
            outcome = _Outcome(value=value, said=said, at=now())
        except LookupFailed as error:
            outcome = _Outcome(value=None, said=str(error), at=now())
        finally:
            self._land(outcome)

    def _land(self, outcome: _Outcome[T]) -> None:
        with self._lock:
            failed_before = self._last is not None and self._last.value is None
            self._last = outcome
            if outcome.value is not None:
                self._good = outcome
            flight, self._flight = self._flight, None
        if outcome.value is None and not failed_before:
            log.warning(
                "%s; %s", self, "nothing was known before" if self._good is None else "what was known stays in use"
            )
        elif outcome.value is not None and failed_before:
            log.info("%s", self)
        if flight is not None:
            flight.set()
