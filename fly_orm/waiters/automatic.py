"""The waiter that uses the best strategy for the replica's version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .native import OLDEST_VERSION, NativeStrategy
from .polling import PollingStrategy
from .shared import SharedWaiter
from .strategy import Strategy


def choose(version: int) -> Strategy:
    """The best strategy for a server of this version."""
    return NativeStrategy() if version >= OLDEST_VERSION else PollingStrategy()


class AutomaticWaiter(SharedWaiter):
    """Uses ``WAIT FOR LSN`` on PostgreSQL 19 and later, and polls older servers.

    The version is that of the server that the current connection has reached, so an upgrade takes effect when the
    waiter reconnects.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, choose)
