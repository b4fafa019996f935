"""Which connections a server has, and how many it may have."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from .options import Pyro5Options

C = TypeVar("C")


class ConnectionTable(Generic[C]):
    """The connections of one server, within the limits of the options. Any thread may call."""

    def __init__(self, options: Pyro5Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._all: dict[C, None] = {}

    def admit(self, connection: C) -> bool:
        """Whether there is room for another connection; it is in the table from now on."""
        with self._lock:
            if len(self._all) >= self._options.max_connections:
                return False
            self._all[connection] = None
            return True

    def remove(self, connection: C) -> None:
        """Make room for another connection in the place of this one."""
        with self._lock:
            self._all.pop(connection, None)

    def snapshot(self) -> list[C]:
        """The connections at this moment, the oldest first."""
        with self._lock:
            return list(self._all)
