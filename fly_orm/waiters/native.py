"""The waiter for PostgreSQL 19 and later, where the replica itself reports that it has replayed an LSN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..lsn import LSN
from .shared import SharedWaiter
from .strategy import REPLAY_QUERY

#: The first version with ``WAIT FOR LSN``, in libpq's notation.
OLDEST_VERSION = 190000
#: The longest ``WAIT FOR LSN`` (seconds), because a thread that waits for a lower LSN can join while it runs. To cancel
#: it then was the alternative. But commits overtake each other on their way here all the time, mostly by microseconds,
#: and each cancellation opens another connection to the server and can hit the query after the one that was meant.
LONGEST_WAIT = 0.05


class NativeStrategy:
    """Sends ``WAIT FOR LSN`` and the query for the replay LSN in one round trip.

    ``WAIT FOR`` comes first, where the session holds no snapshot, which could block the replay that it waits for. The
    driver shows only the last result, so the status of ``WAIT FOR`` is not seen. It is not needed: with ``NO_THROW``
    the command raises no error when the LSN is replayed, when the time is over or when the server is promoted, and the
    row tells these cases apart.
    """

    def query(self, lsn: LSN, timeout: float | None) -> str:
        if timeout == 0:
            return REPLAY_QUERY
        seconds = LONGEST_WAIT if timeout is None else min(timeout, LONGEST_WAIT)
        milliseconds = math.ceil(seconds * 1000)  # at least 1, because 0 means no limit to Postgres
        return f"WAIT FOR LSN '{lsn}' WITH (TIMEOUT '{milliseconds}ms', NO_THROW); {REPLAY_QUERY}"

    def pause(self, waited: float) -> float:
        return 0.0


def choose_native(version: int) -> NativeStrategy:
    """The native strategy; ConfigurationError if servers of this version have no ``WAIT FOR LSN``."""
    if version < OLDEST_VERSION:
        raise ConfigurationError(
            f"the waiter 'native' needs PostgreSQL 19 or later, and this region's replica is {version // 10000}; "
            "set FLY_ORM_WAITER to 'auto' or 'polling'"
        )
    return NativeStrategy()


class NativeWaiter(SharedWaiter):
    """Lets the replica wait, with ``WAIT FOR LSN``. Raises ConfigurationError if the server is too old."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, choose_native)
