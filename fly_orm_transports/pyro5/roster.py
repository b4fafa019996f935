"""Which connections a server has, and how many it may have."""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

#: More connections than this are closed at once, unread.
MAX_CONNECTIONS = 256
#: Of those, so many may be of peers that have not proven that they hold the secret.
MAX_STRANGERS = 64


class Member(Protocol):
    """What the roster does to a connection."""

    def disconnect(self) -> None:
        """The connection ends soon."""
        ...


M = TypeVar("M", bound=Member)


class Roster(Generic[M]):
    """The connections of one server. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[M, None] = {}
        self._strangers: dict[M, None] = {}

    def admit(self, member: M) -> bool:
        """Whether there is room for one more, who is a stranger.

        One stranger too many displaces the one that came first: an honest peer is a stranger for a round trip or two,
        so that idlers cannot keep it out by taking all the places.
        """
        with self._lock:
            if len(self._members) >= MAX_CONNECTIONS:
                return False
            displaced = next(iter(self._strangers)) if len(self._strangers) >= MAX_STRANGERS else None
            if displaced is not None:
                del self._strangers[displaced]
            self._members[member] = self._strangers[member] = None
        if displaced is not None:
            displaced.disconnect()
        return True

    def trust(self, member: M) -> None:
        """The member is no longer a stranger."""
        with self._lock:
            self._strangers.pop(member, None)

    def leave(self, member: M) -> None:
        """The member's place is free."""
        with self._lock:
            self._members.pop(member, None)
            self._strangers.pop(member, None)

    def members(self) -> list[M]:
        """The members at this moment."""
        with self._lock:
            return list(self._members)
