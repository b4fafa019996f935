"""What waiters differ in: what they ask the replica, and how long they sleep before they ask again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..lsn import LSN

#: Returns one row: the replay LSN, which is null if the server has never replayed anything, and whether the server is
#: in recovery.
REPLAY_QUERY = "SELECT pg_last_wal_replay_lsn()::text, pg_is_in_recovery()"


class Strategy(Protocol):
    """How to follow the progress of a replica. The methods decide, and do not ask the replica themselves."""

    def query(self, lsn: LSN, timeout: float | None) -> str:
        """SQL that returns the row of REPLAY_QUERY, at once or when the replica has replayed ``lsn``.

        The server must answer within ``timeout`` seconds: None is no limit, 0 is at once.
        """
        ...

    def pause(self, waited: float) -> float:
        """Seconds to sleep before the next query, when the latest thread to join has waited ``waited`` seconds."""
        ...


#: Returns the strategy for a server version in libpq's notation, where 190002 is PostgreSQL 19.2.
ChooseStrategy = Callable[[int], Strategy]
