"""The waiter that does what the version of the replica allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .native import OLDEST_VERSION, Native
from .polling import Polling
from .shared import SharedWaiter
from .watch import Watch


def choose(version: int) -> Watch:
    """The best watch for a server of this version."""
    return Native() if version >= OLDEST_VERSION else Polling()


class AutomaticWaiter(SharedWaiter):
    """Waits natively or polls, by the version of the server that its connection reaches, also after an upgrade."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(connect, choose)
