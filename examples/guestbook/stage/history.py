"""What happened in the last minute or so, second by second."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time

from .geography import REGIONS
from .steps import Step

#: How many seconds are kept.
SECONDS = 90


@dataclass(kw_only=True)
class Second:
    """One second of one region."""

    lag: float | None = None
    """Seconds that its replica was behind; None if nobody could tell, or if it is no replica."""
    writes: list[float] = field(default_factory=list)
    """What each write took, in seconds."""
    reads: dict[str, int] = field(default_factory=dict)
    """How many reads ran in each region."""
    failed: int = 0
    missed: int = 0
    """How many reads did not see the session's own write."""

    @property
    def write(self) -> float | None:
        """What the slowest write took; None if there was none."""
        return max(self.writes, default=None)


class History:
    """The last seconds of each region, the oldest first. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest = int(clock())
        self._seconds = {region: deque((Second() for _ in range(SECONDS)), SECONDS) for region in REGIONS}

    def served(self, region: str, taken: Sequence[Step], *, missed: bool = False) -> None:
        """A page, or a visit, has taken these steps."""
        with self._lock:
            second = self._current(region)
            second.missed += missed
            for step in taken:
                if step.error:
                    second.failed += 1
                elif step.kind == "read":
                    second.reads[step.where] = second.reads.get(step.where, 0) + 1
                elif step.kind in ("write", "call"):
                    second.writes.append(step.total / 1000)

    def lags(self, region: str, seconds: float | None) -> None:
        """The replica of a region is this far behind."""
        with self._lock:
            self._current(region).lag = seconds

    def of(self, region: str) -> list[Second]:
        """The seconds of a region, the current one last."""
        with self._lock:
            self._advance()
            return list(self._seconds[region])

    def _current(self, region: str) -> Second:
        self._advance()
        return self._seconds[region][-1]

    def _advance(self) -> None:
        now = int(self._clock())
        for _ in range(min(now - self._newest, SECONDS)):
            for seconds in self._seconds.values():
                seconds.append(Second())
        self._newest = max(now, self._newest)
