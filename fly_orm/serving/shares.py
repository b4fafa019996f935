"""How many of the places of a node one peer may take, so that some are left for others."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..concurrency.pool import PoolTimeout
from ..deadline import Deadline

#: A pool leaves every fifth place to others, unless another share is set.
_LEFT = 5
_PORT = re.compile(r":\d+$")


def default_share(places: int) -> int:
    """How many of so many places one peer may take: all of them, if they are fewer than five."""
    return places - places // _LEFT


def host_of(peer: str) -> str:
    """What all the processes of one machine have in common in the description of a peer: its address without port."""
    return _PORT.sub("", peer)


class Shares:
    """The places that peers have taken. Each may take ``most`` of one kind, such as those of one database. Thread-safe.

    Processes with the same secret cannot be told from each other but by their address. So a peer is a machine.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[tuple[str, str]] = Counter()
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0

    def take(self, peer: str, kind: str, deadline: Deadline) -> None:
        """Take a place; PoolTimeout if the peer has all that it may have, and gives none back by the deadline."""
        holder = peer, kind
        with self._changed:
            if self._taken[holder] >= self._most and not self._wait(holder, deadline):
                raise PoolTimeout(
                    f"{peer} kept all {self._most} that one peer may have (FLY_ORM_PEER_LEASES) for {deadline}"
                )
            self._taken[holder] += 1

    def _wait(self, holder: tuple[str, str], deadline: Deadline) -> bool:
        self._waiting += 1
        try:
            return self._changed.wait_for(lambda: self._taken[holder] < self._most, deadline.remaining())
        finally:
            self._waiting -= 1

    def give_back(self, peer: str, kind: str) -> None:
        """Give a place back."""
        holder = peer, kind
        with self._changed:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]
            if self._waiting:
                self._changed.notify_all()

    @contextmanager
    def taken(self, peer: str, kind: str, deadline: Deadline) -> Iterator[None]:
        """A block that has a place; see :meth:`take`."""
        self.take(peer, kind, deadline)
        try:
            yield
        finally:
            self.give_back(peer, kind)
