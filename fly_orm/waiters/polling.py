"""The waiter for every version of Postgres: short queries with sleeps between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lsn import LSN
from .shared import SharedWaiter
from .strategy import REPLAY_QUERY

#: After each query the poller sleeps for an eighth of the time waited so far, within these bounds (seconds). So a wait
#: overshoots by a fraction of the lag, and the number of queries grows with the logarithm of the lag.
SHORTEST_SLEEP = 0.0005
LONGEST_SLEEP = 0.05


class PollingStrategy:
    """Asks for the replay LSN again and again.

    Each time is a statement of its own. A single statement that loops would hold its snapshot meanwhile, and a snapshot
    on a replica can block the very replay that it waits for.
    """

    def query(self, lsn: LSN, timeout: float | None) -> str:
        return REPLAY_QUERY

    def pause(self, waited: float) -> float:
        return min(max(waited / 8, SHORTEST_SLEEP), LONGEST_SLEEP)


class PollingWaiter(SharedWaiter):
    """Polls the replica's replay LSN."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, lambda _version: PollingStrategy())
