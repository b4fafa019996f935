"""How old the oldest commit is that a replica does not show yet."""

from __future__ import annotations

from collections import deque

#: Seconds for which the positions of the primary are remembered.
_KEPT = 600.0


class Positions:
    """When the primary was first seen at each position. Positions are bytes of WAL; times are seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, position: int) -> None:
        """The primary is at a position now."""
        if not self._seen or position > self._seen[-1][1]:
            self._seen.append((now, position))
        while self._seen and self._seen[0][0] < now - _KEPT:
            self._seen.popleft()

    def lag(self, now: float, replayed: int) -> float:
        """Seconds since the primary was first seen at a position that a replica has not replayed; 0 if it has all."""
        return next((now - seen for seen, position in self._seen if position > replayed), 0.0)

    def clear(self) -> None:
        """Forget everything, since another server is the primary now."""
        self._seen.clear()
