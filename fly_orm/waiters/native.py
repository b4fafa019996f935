"""The waiter for PostgreSQL 19 and newer: the replica itself says when it has replayed a position."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..lsn import LSN
from .shared import SharedWaiter
from .watch import REPLAYED

#: The first version that has ``WAIT FOR LSN``, as libpq writes it.
OLDEST_VERSION = 190000
#: One wait lasts no longer (seconds), as a thread may come meanwhile that waits for less. Cancelling it for each of
#: those was the alternative: commits overtake each other on their way here all the time, mostly by microseconds, and a
#: cancellation is a new connection to the server, which may hit the query after the one that was meant.
LONGEST_WAIT = 0.05


class Native:
    """``WAIT FOR`` and the question for the replay LSN in one round trip.

    The wait comes first, so that it holds no snapshot. Its own status is not seen and need not be: with ``NO_THROW``
    it ends without an error when the position is replayed, when its time is over, and when the server is promoted, and
    the row says which.
    """

    def query(self, lsn: LSN, left: float | None) -> str:
        if left == 0:
            return REPLAYED
        seconds = LONGEST_WAIT if left is None else min(left, LONGEST_WAIT)
        milliseconds = math.ceil(seconds * 1000)  # at least 1, since 0 is no limit to Postgres
        return f"WAIT FOR LSN '{lsn}' WITH (TIMEOUT '{milliseconds}ms', NO_THROW); {REPLAYED}"

    def pause(self, waited: float) -> float:
        return 0.0


def choose_native(version: int) -> Native:
    """The native watch; ConfigurationError if a server of this version has none."""
    if version < OLDEST_VERSION:
        raise ConfigurationError(
            f"the waiter 'native' needs PostgreSQL 19 or newer, and this region's replica is {version // 10000}; "
            "set FLY_ORM_WAITER to 'auto' or 'polling'"
        )
    return Native()


class NativeWaiter(SharedWaiter):
    """Waits on the replica, with ``WAIT FOR LSN``; ConfigurationError at a wait if the server has no such command."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, choose_native)
