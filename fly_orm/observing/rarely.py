"""Lines of the log that others could cause again and again."""

from __future__ import annotations

import threading

from ..deadline import now

#: Seconds for which no second line is logged for the same thing.
INTERVAL = 60.0
#: The most things that are remembered, so that whoever varies them fills neither the log nor the memory.
MOST = 1000


class Rarely:
    """Says whether to log something: once a minute for each thing, such as an address and a reason. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged: dict[object, tuple[float, int]] = {}
        """By thing: when it was logged last (monotonic), and how often it has happened since."""

    def since_last(self, thing: object) -> int | None:
        """How often something has happened since it was logged last, if it is to be logged now; None if it is not."""
        with self._lock:
            time = now()
            at, count = self._logged.pop(thing, (None, 0))
            if at is not None and time < at + INTERVAL:
                self._logged[thing] = at, count + 1
                return None
            if len(self._logged) >= MOST:
                self._forget(time)
                if len(self._logged) >= MOST:
                    return None
            self._logged[thing] = time, 0
            return count

    def _forget(self, time: float) -> None:
        for old in [thing for thing, (at, _) in self._logged.items() if time >= at + INTERVAL]:
            del self._logged[old]


def again(count: int) -> str:
    """The end of a message that is logged rarely."""
    return f" (It has happened {count} more times since this was logged last.)" if count else ""
