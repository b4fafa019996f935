"""How many of the places of a node one peer may take, so that some are left for others."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..concurrency.latch import Latch
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

    A peer's requests get places in the order in which they came, so that none waits while later ones are served.
    Processes with the same secret cannot be told from each other but by their address. So a peer is a machine.
    """

    def __init__(self, most: int, setting: str = "") -> None:
        """``setting`` is the name of the variable that sets ``most``, for messages."""
        self._most = most
        self._setting = setting and f" ({setting})"
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str], deque[Latch]] = {}
        """Who waits for a place of a peer that has taken all it may have; a place that is given back passes to them."""

    def take(self, peer: str, kind: str, deadline: Deadline) -> None:
        """Take a place; PoolTimeout if the peer has all that it may have, and gives none back by the deadline."""
        holder = peer, kind
        with self._lock:
            taken = self._taken.get(holder, 0)
            if taken < self._most:
                self._taken[holder] = taken + 1
                return
            turn = Latch()
            self._waiting.setdefault(holder, deque()).append(turn)
        if not turn.wait(deadline.remaining()) and not self._was_admitted(holder, turn):
            raise PoolTimeout(f"{peer} kept all {self._most} that one peer may have{self._setting} for {deadline}")

    def _was_admitted(self, holder: tuple[str, str], turn: Latch) -> bool:
        """Whether a place was passed on at the last moment; if not, the caller leaves the queue."""
        with self._lock:
            if turn.is_set():
                return True
            self._waiting[holder].remove(turn)
            if not self._waiting[holder]:
                del self._waiting[holder]
            return False

    def give_back(self, peer: str, kind: str) -> None:
        """Give a place back."""
        holder = peer, kind
        with self._lock:
            if queue := self._waiting.get(holder):
                queue.popleft().set()
                if not queue:
                    del self._waiting[holder]
                return
            if self._taken[holder] > 1:
                self._taken[holder] -= 1
            else:
                del self._taken[holder]

    @contextmanager
    def taken(self, peer: str, kind: str, deadline: Deadline) -> Iterator[None]:
        """A block that has a place; see :meth:`take`."""
        self.take(peer, kind, deadline)
        try:
            yield
        finally:
            self.give_back(peer, kind)
