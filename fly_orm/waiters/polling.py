"""The waiter for every version of Postgres: short queries, with sleeps in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lsn import LSN
from .shared import SharedWaiter
from .watch import REPLAYED

#: A poll is followed by a sleep of an eighth of the time waited so far, within these bounds (seconds). So the overshoot
#: is a fraction of the lag, and the number of polls grows with its logarithm.
SHORTEST_SLEEP = 0.0005
LONGEST_SLEEP = 0.05


class Polling:
    """Each poll is a statement of its own, since a query that lasts holds a snapshot, which can hold up the very
    replay it waits for.
    """

    def query(self, lsn: LSN, left: float | None) -> str:
        return REPLAYED

    def pause(self, waited: float) -> float:
        return min(max(waited / 8, SHORTEST_SLEEP), LONGEST_SLEEP)


class PollingWaiter(SharedWaiter):
    """Polls the replica's replay LSN."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, lambda _version: Polling())
