"""The positions that a session's reads have to show."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import msgspec

from ..position import UNKNOWN, Position, later


class Pin(msgspec.Struct, frozen=True, gc=False):
    """A position that reads of one database have to show: they run on the primary unless their server shows it."""

    position: Position
    waits: bool = False
    """Whether the next read waits for the replica to show it, once, before it goes to the primary."""
    resumed: bool = False
    """Whether the position comes from another process, and covers no write of this session."""


class Pins(dict[str, Pin]):
    """The pins of one session, by database name. Thread-safe.

    A pin stays when a server has shown its position: the next read may be on another server, or on this one after a
    crash, when it shows less. A dict, since every local read asks whether it is empty. Whatever changes a pin reads it
    first, so that it holds a lock: a pin that another thread adds in between must not be lost.
    """

    __slots__ = ("_lock",)

    def __init__(self, pins: Mapping[str, Pin] | None = None) -> None:
        super().__init__(pins or {})
        self._lock = threading.Lock()

    def add(self, database: str, position: Position, *, waits: bool = False) -> Pin:
        """Pin a database until its replica shows a position, and all that earlier pins asked for; returns the pin."""
        with self._lock:
            before = self.get(database)
            known = None if before is None else before.position
            pin = self[database] = Pin(later(known, position), waits or (before is not None and before.waits))
        return pin

    def resume(self, database: str, position: Position) -> None:
        """Pin a database until its replica shows a position that another process has seen; the next read waits.

        If an earlier pin's position does not compare with it, the earlier one stays: the primary has told it here.
        """
        with self._lock:
            before = self.get(database)
            if before is None:
                self[database] = Pin(position, waits=True, resumed=True)
            else:
                self[database] = Pin(later(position, before.position), waits=True, resumed=before.resumed)

    def doubt(self, database: str) -> None:
        """Pin a database until the primary tells a position: something of unknown outcome may be committed."""
        with self._lock:
            before = self.get(database) or Pin(UNKNOWN)
            self[database] = msgspec.structs.replace(before, position=UNKNOWN)

    def waited(self, database: str) -> None:
        """Note that a read has waited, so that later ones do not wait again."""
        with self._lock:
            before = self.get(database)
            if before is not None:
                self[database] = msgspec.structs.replace(before, waits=False)

    def replace(self, database: str, before: Pin, known: Position | None) -> None:
        """Put a position, or nothing, in the place of one pin, unless another one has taken it meanwhile."""
        with self._lock:
            if self.get(database) is before:
                if known is None:
                    del self[database]
                else:
                    self[database] = Pin(known)
