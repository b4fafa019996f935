"""Which connections a server has, and who has to go if it may have no more."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

#: Seconds without a request after which a connection makes room for another one of a host that has as many.
IDLE_TIME = 1.0
#: One host leaves every fifth place to others: what is in use makes no room, so that it could keep all others out.
_LEFT = 5


class Place(Protocol):
    """A connection, as far as the table is concerned."""

    host: str
    """Where the peer is."""

    @property
    def idle_time(self) -> float | None:
        """Seconds since the last request; None if one is being answered, or the peer needs this very connection."""
        ...

    @property
    def was_used(self) -> bool:
        """Whether its peer has used it, and so expects that it may have ended when it is used again."""
        ...

    def make_room(self) -> bool:
        """End the connection, if its ``idle_time`` is not None."""
        ...


C = TypeVar("C", bound=Place)


class ConnectionTable(Generic[C]):
    """The connections of one server, each in a place of its own or leaving. Any thread may call."""

    def __init__(self, size: int) -> None:
        """``size`` is the number of places, of which one host leaves every fifth to others."""
        self._size, self._size_per_host = size, size - size // _LEFT
        self._lock = threading.Lock()
        self._places: dict[C, None] = {}
        self._by_host: Counter[str] = Counter()
        self._leaving: dict[C, None] = {}

    def admit(self, connection: C) -> bool:
        """Whether there is room for another connection; it has a place from now on.

        If all places are taken, an idle connection makes room. It belongs to the host that has the most, or to any host
        if it has been idle for IDLE_TIME. If the host has all the places that it may have, it is one of its own.
        """
        with self._lock:
            if not self._has_room(connection.host):
                return False
            self._places[connection] = None
            self._by_host[connection.host] += 1
            return True

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return len(self._places)

    def let_one_go(self) -> None:
        """End the connection that has been idle for longest, of those that were used before, if there is one."""
        with self._lock:
            self._make_room(lambda each, _time: each.was_used)

    def _has_room(self, host: str) -> bool:
        if self._by_host[host] >= self._size_per_host:
            return self._make_room(lambda each, time: each.host == host and time >= IDLE_TIME)
        if len(self._places) < self._size:
            return True
        largest, most = self._by_host.most_common(1)[0]
        has_more = self._by_host[host] < most - 1
        return self._make_room(lambda each, time: (has_more and each.host == largest) or time >= IDLE_TIME)

    def _make_room(self, may_go: Callable[[C, float], bool]) -> bool:
        """End a connection that may go, given for how many seconds it has been idle; the longest one first."""
        idle = [(time, each) for each in self._places if (time := each.idle_time) is not None]
        for time, each in sorted(idle, key=lambda entry: -entry[0]):
            if may_go(each, time) and each.make_room():
                self._give_back(each)
                self._leaving[each] = None
                return True
        return False

    def _give_back(self, connection: C) -> None:
        del self._places[connection]
        self._by_host[connection.host] -= 1
        if not self._by_host[connection.host]:
            del self._by_host[connection.host]

    def remove(self, connection: C) -> None:
        """Make room for another connection in the place of this one."""
        with self._lock:
            if connection in self._places:
                self._give_back(connection)
            self._leaving.pop(connection, None)

    def snapshot(self) -> list[C]:
        """The connections at this moment, the oldest first."""
        with self._lock:
            return [*self._leaving, *self._places]
