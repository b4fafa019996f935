"""Which connections a server has, and how many it may have."""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

from .options import Pyro5Options


class Disconnectable(Protocol):
    """A connection, as far as the table is concerned."""

    def disconnect(self) -> None:
        """End the connection soon."""
        ...


C = TypeVar("C", bound=Disconnectable)


class ConnectionTable(Generic[C]):
    """The connections of one server, within the limits of the options. Any thread may call."""

    def __init__(self, options: Pyro5Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._all: dict[C, None] = {}
        self._strangers: dict[C, None] = {}

    def admit(self, connection: C) -> bool:
        """Whether there is room for another connection, which is a stranger's; it is in the table from now on.

        One stranger too many displaces the oldest one. An honest peer is a stranger for a round trip or two only, so
        idle strangers cannot keep it out by taking all the places.
        """
        with self._lock:
            if len(self._all) >= self._options.max_connections:
                return False
            is_one_too_many = len(self._strangers) >= self._options.max_strangers
            displaced = next(iter(self._strangers)) if is_one_too_many else None
            if displaced is not None:
                del self._strangers[displaced]
            self._all[connection] = self._strangers[connection] = None
        if displaced is not None:
            displaced.disconnect()
        return True

    def trust(self, connection: C) -> None:
        """The connection no longer counts as a stranger's."""
        with self._lock:
            self._strangers.pop(connection, None)

    def remove(self, connection: C) -> None:
        """Make room for another connection in the place of this one."""
        with self._lock:
            self._all.pop(connection, None)
            self._strangers.pop(connection, None)

    def snapshot(self) -> list[C]:
        """The connections at this moment, the oldest first."""
        with self._lock:
            return list(self._all)
