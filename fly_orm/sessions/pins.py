"""Which databases a session does not read on the replica, and up to which position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..position import UNKNOWN, Position, later


class Pin(NamedTuple):
    """Why reads of one database stay on the primary: the replica is not known to show this position."""

    position: Position
    waits: bool = False
    """Whether the next read waits for the replica to show it, once, before it goes to the primary."""
    resumed: bool = False
    """Whether the position comes from another process, and no write of this session's is among what it covers."""


class Pins:
    """The pins of one session, by database name. Used by one thread at a time."""

    __slots__ = ("_pins",)

    def __init__(self, pins: dict[str, Pin] | None = None) -> None:
        self._pins = pins or {}

    def __bool__(self) -> bool:
        return bool(self._pins)

    def __contains__(self, database: str) -> bool:
        return database in self._pins

    def __iter__(self) -> Iterator[str]:
        return iter(self._pins)

    def get(self, database: str) -> Pin | None:
        """The pin of a database; None if its reads may run on the replica."""
        return self._pins.get(database)

    def copy(self) -> Pins:
        """Pins that change independently of these."""
        return Pins(dict(self._pins))

    def add(self, database: str, position: Position, *, waits: bool = False) -> None:
        """Pin a database until its replica shows a position, and all that earlier pins asked for."""
        before = self._pins.get(database)
        known = None if before is None else before.position
        waits = waits or (before is not None and before.waits)
        self._pins[database] = Pin(later(known, position), waits)

    def resume(self, database: str, position: Position) -> None:
        """Pin a database until its replica shows a position that another process has seen; the next read waits.

        A position of this session that does not compare with it stays: it comes from the primary as it is now.
        """
        before = self._pins.get(database)
        if before is None:
            self._pins[database] = Pin(position, waits=True, resumed=True)
        else:
            self._pins[database] = Pin(later(position, before.position), waits=True, resumed=before.resumed)

    def doubt(self, database: str) -> None:
        """Pin a database until the primary tells a position: something of unknown outcome may be committed."""
        before = self._pins.get(database) or Pin(UNKNOWN)
        self._pins[database] = before._replace(position=UNKNOWN)

    def waited(self, database: str) -> None:
        """Note that a read has waited, so that later ones do not wait again."""
        before = self._pins.get(database)
        if before is not None:
            self._pins[database] = before._replace(waits=False)

    def shown(self, database: str, position: Position) -> None:
        """Remove the pin if it asks for no more than a position that the replica shows."""
        pin = self._pins.get(database)
        if pin is not None and later(pin.position, position) == position:
            self.remove(database)

    def replace(self, database: str, position: Position) -> None:
        """Pin a database at a position, whatever was asked for before."""
        self._pins[database] = Pin(position)

    def remove(self, database: str) -> None:
        """Let reads of a database run on the replica again."""
        self._pins.pop(database, None)
