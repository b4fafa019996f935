"""Positions in the history of a database system."""

from __future__ import annotations

import msgspec

from .lsn import LSN, UNKNOWN_LSN


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A position in the write-ahead log of a database system, on one of its timelines.

    A failover begins a new timeline, on which the same LSNs are used again for other records (Postgres manual, section
    "Timelines"). So LSNs of two timelines cannot be compared. But everything on an older timeline that survived the
    failover comes before everything on a newer one.
    """

    lsn: LSN
    system: int = 0
    """The system identifier, as ``pg_control_system()`` returns it; 0 if the role may not call that function."""
    timeline: int = 0
    """The timeline's number; 0 if it is not known."""

    @property
    def is_unknown(self) -> bool:
        """Whether this is UNKNOWN, which stands for a position that nobody could ask for."""
        return self.lsn == UNKNOWN_LSN

    def __str__(self) -> str:
        return f"{self.lsn} on timeline {self.timeline}" if self.system else str(self.lsn)


#: Stands for a position that nobody could ask the primary for. It comes after every other, so no replica reaches it.
UNKNOWN = Position(UNKNOWN_LSN)


def later(known: Position | None, told: Position) -> Position:
    """The later of two positions. If they cannot be compared, it is ``told``, which is news from the primary."""
    if known is None or known.is_unknown or told.is_unknown or known.system != told.system:
        return told
    return max(known, told, key=lambda position: (position.timeline, position.lsn))
