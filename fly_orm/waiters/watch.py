"""What waiters differ in: what the replica is asked, and how long to sleep before it is asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..lsn import LSN

#: One row: the replay LSN, which is null where nothing was ever replayed, and whether the server is in recovery.
REPLAYED = "SELECT pg_last_wal_replay_lsn()::text, pg_is_in_recovery()"


class Watch(Protocol):
    """How the progress of a replica is followed. Pure: neither method asks anything itself."""

    def query(self, lsn: LSN, left: float | None) -> str:
        """The SQL that ends with the row of REPLAYED, at once or when ``lsn`` is replayed.

        ``left`` is how many seconds it may take at most: None is no limit, 0 is at once.
        """
        ...

    def pause(self, waited: float) -> float:
        """Seconds to sleep until the next query, when the thread that came last has ``waited`` so many."""
        ...


#: The watch for a server of some version, as libpq writes it: 190002 is PostgreSQL 19.2.
Choice = Callable[[int], Watch]
