"""When a worker that has ended is started again, and when it is not worth trying any more."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds after which a worker counts as sound, whatever happened before.
SOUND_AFTER = 10.0
#: Seconds after which the second of several workers in a row is started that did not last; each one doubles them.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: How often in a row a worker may fail to start. If that goes for all of them, the supervisor gives up.
MOST_FAILED_STARTS = 5


@dataclass
class Restarts:
    """What became of the processes that took one worker's place, one after another."""

    short_lives: int = 0
    """How many in a row have not lasted."""
    failed_starts: int = 0
    """How many in a row have ended before they served."""

    def ended(self, *, lived: float, served: bool) -> float:
        """Note that a process has ended after so many seconds. Returns those after which to start another."""
        self.failed_starts = 0 if served else self.failed_starts + 1
        if served and lived >= SOUND_AFTER:
            self.short_lives = 0
        self.short_lives += 1
        if self.short_lives == 1:
            return 0.0
        return float(min(FIRST_PAUSE * 2 ** min(self.short_lives - 2, 30), LONGEST_PAUSE))

    @property
    def is_hopeless(self) -> bool:
        """Whether it has failed to start too often."""
        return self.failed_starts >= MOST_FAILED_STARTS
