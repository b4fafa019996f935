"""Timeouts and the deadlines made of them, once, where a call enters. The only module that reads the clock."""

from __future__ import annotations

import math
import time
from functools import partial

import msgspec

# Linux has a monotonic clock that goes on while the machine is suspended; elsewhere, time.monotonic() may stand still.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
#: Reads the monotonic clock (seconds). Every request does so a dozen times, and a function in Python would cost more
#: than the reading.
now = time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)


def wall_clock() -> float:
    """The time of day, in seconds since 1970; only to compare it with the clocks of other machines."""
    return time.time()


def thread_time() -> float:
    """The time for which the calling thread has had the processor (seconds)."""
    return time.thread_time()


#: The longest wait (seconds) in one queue while another node might have room at once.
QUEUE_TIMEOUT = 1.0
#: Seconds after its caller's deadline, or after the loss of its node, within which what a request has begun ends: a
#: node that lives ends the connection of a statement that it cannot cancel in a second, and its server then notices in
#: half a second that the client is gone.
SETTLING_TIME = 2.0


def check_timeout(name: str, timeout: float | None) -> float | None:
    """``timeout`` itself, in seconds: None means no limit, 0 do not wait. ValueError if it is negative or not a number.

    ``name`` is what the error calls it.
    """
    try:
        allowed = timeout is None or timeout >= 0
    except TypeError:
        allowed = False
    if not allowed:
        raise ValueError(f"{name} must be None (no limit), 0 (do not wait) or more seconds, not {timeout!r:.100}")
    return timeout


class Deadline(msgspec.Struct, frozen=True):
    """An instant on the monotonic clock by which something must be done.

    A call that makes several waits passes one deadline to all of them, where one timeout would begin anew each time.
    """

    at: float
    timeout: float | None
    """The timeout that the deadline was made of (seconds), which is what error messages report."""

    @classmethod
    def after(cls, timeout: float | None) -> Deadline:
        """The deadline ``timeout`` seconds from now; with None, one that never passes."""
        if timeout is None:
            return cls(math.inf, None)
        if not (isinstance(timeout, float | int) and timeout >= 0):
            check_timeout("timeout", timeout)
        return cls(now() + timeout, timeout)

    @classmethod
    def at_instant(cls, instant: float | None, timeout: float | None) -> Deadline:
        """The deadline at this instant; with None, one that never passes. ``timeout`` is what messages report."""
        return cls(math.inf if instant is None else instant, timeout)

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None if there is no limit, as ``Condition.wait`` and ``socket.settimeout`` do."""
        if self.at == math.inf:
            return None
        return max(0.0, self.at - now())

    def within(self, timeout: float | None) -> Deadline:
        """The earlier of this deadline and one ``timeout`` seconds from now."""
        if timeout is None:
            return self
        if not timeout >= 0:
            check_timeout("timeout", timeout)
        at = now() + timeout
        return self if self.at <= at else Deadline(at, timeout)

    def or_earlier(self, other: Deadline) -> Deadline:
        """The earlier of the two."""
        return other if other.at < self.at else self

    def for_queueing(self) -> Deadline:
        """The deadline for waiting in the queue of one node, so that there is time left to try another.

        It leaves at least three quarters of the time, and never waits for longer than QUEUE_TIMEOUT.
        """
        left = self.remaining()
        return self.within(QUEUE_TIMEOUT if left is None else min(QUEUE_TIMEOUT, left / 4))

    def reserving(self, seconds: float) -> Deadline:
        """An earlier deadline, which leaves ``seconds`` for what follows, but at most a quarter of the time."""
        if (left := self.remaining()) is None or self.timeout is None:
            return self
        reserve = min(seconds, left / 4)
        return Deadline(self.at - reserve, max(0.0, self.timeout - reserve))

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.at <= now()

    def __str__(self) -> str:
        return "no time limit" if self.timeout is None else f"{round(self.timeout, 3):g} s"
