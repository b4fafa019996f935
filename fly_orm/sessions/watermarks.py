"""How far each database had got when a session last saw it."""

from __future__ import annotations

import threading

from ..deadline import now
from ..position import Position, later


class Watermarks:
    """By database, the latest position that a session, or a task that it has started, has seen. Thread-safe.

    A database is *in doubt* for some seconds after a write of unknown outcome: something later may be committed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Position] = {}
        self._doubts: dict[str, float] = {}
        """When each doubt ends, on the monotonic clock."""

    def rise(self, database: str, position: Position) -> None:
        """Note what the primary has told, which settles what was in doubt."""
        with self._lock:
            self._known[database] = later(self._known.get(database), position)
            self._doubts.pop(database, None)

    def merge(self, database: str, position: Position) -> None:
        """Note what others have told, which settles nothing: they do not know of the doubts here."""
        with self._lock:
            known = self._known.get(database)
            self._known[database] = position if known is None else later(position, known)

    def doubt(self, database: str, seconds: float) -> None:
        """Note that something later than all that is known may be committed, now or within ``seconds``."""
        with self._lock:
            self._doubts[database] = max(now() + seconds, self._doubts.get(database, 0.0))

    def settle(self, database: str) -> None:
        """Note that nothing is in doubt any more."""
        with self._lock:
            self._doubts.pop(database, None)

    def settle_old(self, database: str) -> bool:
        """Note that nothing is in doubt any more if the time for that is over; False if it is not."""
        with self._lock:
            if self._doubts.get(database, 0.0) > now():
                return False
            self._doubts.pop(database, None)
            return True

    def known(self, database: str) -> Position | None:
        """The latest position that is known; None if there is none."""
        return self._known.get(database)

    def positions(self) -> dict[str, Position]:
        """The latest position that is known of each database."""
        with self._lock:
            return dict(self._known)

    def doubts(self) -> dict[str, float]:
        """By database, the seconds until its doubt ends."""
        with self._lock:
            return {database: left for database, until in self._doubts.items() if (left := until - now()) > 0}

    def ends_of_doubts(self) -> dict[str, float]:
        """By database, when its last doubt ends or has ended, on the monotonic clock: each doubt makes that later."""
        with self._lock:
            return dict(self._doubts)

    def absorb(self, other: Watermarks) -> None:
        """Note all that others have seen."""
        for database, position in other.positions().items():
            self.merge(database, position)
        for database, seconds in other.doubts().items():
            self.doubt(database, seconds)
