"""Timeouts become deadlines once, at entry; the one module that reads the clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

now = time.monotonic

#: The most to wait at one of several places, in seconds.
LINE_TIMEOUT = 1.0


def check_timeout(name: str, timeout: float | None) -> float | None:
    """The timeout itself, in seconds: None is no limit, 0 is do not wait; ValueError for a negative or NaN one."""
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"{name} must be None (no limit), 0 (do not wait) or more seconds, not {timeout!r}")
    return timeout


@dataclass(frozen=True)
class Deadline:
    """An instant on the monotonic clock by which something is to be done, and the timeout it came from."""

    at: float
    timeout: float | None

    @classmethod
    def after(cls, timeout: float | None) -> Deadline:
        """The deadline ``timeout`` seconds from now; None never comes."""
        check_timeout("timeout", timeout)
        return cls(math.inf if timeout is None else now() + timeout, timeout)

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None when there is no limit (which is what socket and lock timeouts take)."""
        if self.at == math.inf:
            return None
        return max(0.0, self.at - now())

    def within(self, timeout: float | None) -> Deadline:
        """The earlier of this deadline and one ``timeout`` seconds from now."""
        return self.or_earlier(Deadline.after(timeout))

    def or_earlier(self, other: Deadline) -> Deadline:
        """The earlier of the two."""
        return other if other.at < self.at else self

    def in_line(self) -> Deadline:
        """By when to give up one of several places to wait at, so that there is time left for another."""
        left = self.remaining()
        return self.within(LINE_TIMEOUT if left is None else min(LINE_TIMEOUT, left / 4))

    @property
    def expired(self) -> bool:
        return self.at <= now()

    def __str__(self) -> str:
        return "no time limit" if self.timeout is None else f"{self.timeout:g} s"
