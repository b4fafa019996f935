"""A cached answer to one question, refreshed in the background while the old one stays in use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotDelivered

log = logging.getLogger("fly_orm")

T = TypeVar("T")


class LookupFailed(FlyOrmError):
    """There was no answer. The message says what came instead, in words that can follow "gave"."""


@dataclass(frozen=True, kw_only=True)
class CachePolicy:
    """When a cached answer is asked for again; all times are in seconds."""

    max_age: float = 30.0
    """An older answer is asked for again in the background, and stays in use until then."""
    retry_interval: float = 5.0
    """The time between a failure and the next attempt, if there is an older answer to use meanwhile."""
    min_age: float = 1.0
    """A younger answer, or failure, is recent enough for :meth:`Lookup.refresh`."""


@dataclass(frozen=True, kw_only=True)
class _Answer(Generic[T]):
    """An answer, or a failure if ``value`` is None; ``summary`` tells either in words that can follow "gave"."""

    value: T | None
    summary: str
    at: float

    @property
    def age(self) -> float:
        return now() - self.at

    def __str__(self) -> str:
        return f"{self.summary} {self.age:.0f} s ago"


class Lookup(Generic[T]):
    """One question and its last good answer. Thread-safe.

    The question is asked on a thread of its own, once at a time, so that no caller waits once there is an answer.

    wanted: completes "cannot find out …" in errors, as in "which regions there are".
    question: names the question and the server that is asked, for errors and logs.
    ask: returns the answer and its summary, or raises LookupFailed. It must limit its own time.
    """

    def __init__(self, wanted: str, question: str, ask: Callable[[], tuple[T, str]], policy: CachePolicy) -> None:
        self._wanted = wanted
        self._question = question
        self._ask = ask
        self._policy = policy
        self._lock = threading.Lock()
        self._good: _Answer[T] | None = None
        self._last: _Answer[T] | None = None
        self._pending: Latch | None = None

    def get(self, deadline: Deadline) -> T:
        """The last good answer; NotDelivered if there is none by the deadline.

        Only the first answer is waited for.
        """
        with self._lock:
            good = self._good
            answered = self._start() if self._is_due() else None
        if good is None and answered is not None:
            answered.wait(deadline.remaining())
            good = self._good
        if good is None or good.value is None:
            raise NotDelivered(f"cannot find out {self._wanted}: {self}")
        return good.value

    def refresh(self, deadline: Deadline) -> None:
        """Ask again, unless the last answer is recent, and wait for the answer until the deadline. Never raises."""
        with self._lock:
            recent = self._last is not None and self._last.age < self._policy.min_age
            answered = self._pending if recent else self._start()
        if answered is not None:
            answered.wait(deadline.remaining())

    def __str__(self) -> str:
        good, last = self._good, self._last
        if last is None:
            return f"{self._question} has not been answered yet"
        return f"{self._question} gave {last}" + (f", and {good} before that" if good and good is not last else "")

    def _is_due(self) -> bool:
        if self._good is None or self._last is None:
            return True  # whatever the retry interval says: the caller has nothing to use meanwhile
        if self._last is not self._good and self._last.age < self._policy.retry_interval:
            return False
        return self._good.age >= self._policy.max_age

    def _start(self) -> Latch:
        """Ask in the background, unless that is under way. Returns a latch that is set when it has ended."""
        if self._pending is not None:
            return self._pending
        answered = Latch()
        try:
            self._pending = answered
            # A daemon, because a server that does not answer must not hold up the end of the process.
            start_thread(partial(self._run, answered), "fly_orm lookup")
        except RuntimeError as error:  # the process cannot start another thread
            self._last = _Answer(value=None, summary=f"nothing ({error})", at=now())
            self._pending = None
            answered.set()
        except BaseException:  # an interrupt: perhaps nobody asks
            self._pending = None
            raise
        return answered

    def _run(self, answered: Latch) -> None:
        answer: _Answer[T] = _Answer(value=None, summary="an error in fly_orm", at=now())
        try:
            value, summary = self._ask()
            answer = _Answer(value=value, summary=summary, at=now())
        except LookupFailed as error:
            answer = _Answer(value=None, summary=str(error), at=now())
        finally:
            self._finish(answer, answered)

    def _finish(self, answer: _Answer[T], answered: Latch) -> None:
        with self._lock:
            failed_before = self._last is not None and self._last.value is None
            self._last = answer
            if answer.value is not None:
                self._good = answer
            if self._pending is answered:
                self._pending = None
        if answer.value is None and not failed_before:
            earlier = "there is no earlier answer" if self._good is None else "the earlier answer stays in use"
            log.warning("%s; %s", self, earlier, extra={"event": "lookup_failed", "problem": str(self)})
        elif answer.value is not None and failed_before:
            log.info("%s", self, extra={"event": "lookup_succeeded", "found": str(self)})
        answered.set()
