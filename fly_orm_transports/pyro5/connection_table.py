"""Which connections a server has, and who has to go if it may have no more."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Generic, Protocol, TypeVar

#: Seconds without a request after which a connection makes room for another one of a host that has as many.
IDLE_TIME = 1.0


class Place(Protocol):
    """A connection, as far as the table is concerned."""

    host: str
    """Where the peer is."""

    @property
    def idle_time(self) -> float | None:
        """Seconds since the last request; None if one is being answered, or the peer needs this very connection."""
        ...

    def make_room(self) -> bool:
        """End the connection, if its ``idle_time`` is not None."""
        ...


C = TypeVar("C", bound=Place)


class ConnectionTable(Generic[C]):
    """The connections of one server, each in a place of its own or leaving. Any thread may call."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._places: dict[C, None] = {}
        self._leaving: dict[C, None] = {}

    def admit(self, connection: C) -> bool:
        """Whether there is room for another connection; it has a place from now on.

        If all places are taken, an idle connection makes room. It belongs to the host that has the most, or to any host
        if it has been idle for IDLE_TIME.
        """
        with self._lock:
            if len(self._places) >= self._size and not self._make_room(connection.host):
                return False
            self._places[connection] = None
            return True

    def _make_room(self, host: str) -> bool:
        counts = Counter(each.host for each in self._places)
        largest, most = counts.most_common(1)[0]
        idle = [(time, each) for each in self._places if (time := each.idle_time) is not None]
        for time, each in sorted(idle, key=lambda entry: -entry[0]):
            has_too_many = each.host == largest and counts[host] < most - 1
            if (has_too_many or time >= IDLE_TIME) and each.make_room():
                del self._places[each]
                self._leaving[each] = None
                return True
        return False

    def remove(self, connection: C) -> None:
        """Make room for another connection in the place of this one."""
        with self._lock:
            self._places.pop(connection, None)
            self._leaving.pop(connection, None)

    def snapshot(self) -> list[C]:
        """The connections at this moment, the oldest first."""
        with self._lock:
            return [*self._leaving, *self._places]
