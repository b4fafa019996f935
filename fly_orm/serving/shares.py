"""How many of the places of a node one peer may take, so that some are left for others."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..concurrency.latch import Latch
from ..concurrency.pool import PoolTimeout
from ..deadline import Deadline

#: Seconds between two calls of ``on_shortage`` while a request waits.
SHORTAGE_INTERVAL = 0.05
_PORT = re.compile(r":\d+$")


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
        self._limits: dict[str, int] = {}
        """By kind, where that is another number."""
        self.on_shortage: dict[str, Callable[[], None]] = {}
        """By kind, what is called again and again while somebody waits; it may resize the shares."""
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
            if taken < self._limit(kind):
                self._taken[holder] = taken + 1
                return
            turn = Latch()
            self._waiting.setdefault(holder, deque()).append(turn)
        if not self._waits(turn, kind, deadline) and not self._was_admitted(holder, turn):
            most = self._limit(kind)
            raise PoolTimeout(f"{peer} kept all {most} that one peer may have{self._setting} for {deadline}")

    def resize(self, kind: str, most: int) -> None:
        """Let each peer take so many of this kind from now on. Those that have more keep them."""
        with self._lock:
            self._limits[kind] = most
            for holder, queue in list(self._waiting.items()):
                while holder[1] == kind and queue and self._taken.get(holder, 0) < most:
                    self._taken[holder] = self._taken.get(holder, 0) + 1
                    self._pass_on(holder)

    def _limit(self, kind: str) -> int:
        return self._limits.get(kind, self._most)

    def _waits(self, turn: Latch, kind: str, deadline: Deadline) -> bool:
        on_shortage = self.on_shortage.get(kind)
        if on_shortage is None:
            return turn.wait(deadline.remaining())
        while not turn.wait(deadline.within(SHORTAGE_INTERVAL).remaining()):
            if deadline.expired:
                return False
            on_shortage()
        return True

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
            if self._waiting.get(holder) and self._taken[holder] <= self._limit(kind):
                self._pass_on(holder)
                return
            if self._taken[holder] > 1:
                self._taken[holder] -= 1
            else:
                del self._taken[holder]

    def _pass_on(self, holder: tuple[str, str]) -> None:
        queue = self._waiting[holder]
        queue.popleft().set()
        if not queue:
            del self._waiting[holder]

    def waiting(self, kind: str) -> int:
        """How many wait for a place of this kind, because their peers have all that they may have."""
        with self._lock:
            return sum(len(queue) for (_, each), queue in self._waiting.items() if each == kind)

    @contextmanager
    def taken(self, peer: str, kind: str, deadline: Deadline) -> Iterator[None]:
        """A block that has a place; see :meth:`take`."""
        self.take(peer, kind, deadline)
        try:
            yield
        finally:
            self.give_back(peer, kind)
