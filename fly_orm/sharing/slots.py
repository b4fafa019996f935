"""The places that the workers of a node share, each of which one of them has."""

from __future__ import annotations

import fcntl
import threading
from itertools import chain

#: How far apart the places of two kinds are in the file, of which only locks exist.
_KIND_BYTES = 1 << 32


class Slots:
    """The places of one kind, such as those for connections to one database. Thread-safe.

    A place is a byte of a file, and the process that has it has locked it. The system releases the locks of a process
    that ends (fcntl(2)), so that no place is lost. Each worker has one place that is its own for ever, so that none of
    them is left without any.
    """

    def __init__(self, fd: int, *, kind: int, total: int, number: int, workers: int) -> None:
        """``fd`` is the process's only descriptor of the file. ``number`` is that of the worker."""
        self._fd = fd
        self._first = kind * _KIND_BYTES
        self._own, self._shared = number, range(workers, total)
        self._held: list[int] = []
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take another place, if one is free."""
        with self._lock:
            for slot in chain([self._own], self._shared):
                if slot not in self._held and self._locks(slot):
                    self._held.append(slot)
                    return True
        return False

    def give(self) -> bool:
        """Give a place back, unless there is only the one that is the worker's own."""
        with self._lock:
            if len(self._held) < 2:
                return False
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._first + self._held.pop())
            return True

    def _locks(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._first + slot)
        except OSError:  # another worker has it
            return False
        return True
