"""Positions in the history of a database system, and histories as such."""

from __future__ import annotations

import msgspec

from .lsn import LSN, UNKNOWN_LSN


class History(msgspec.Struct, frozen=True, array_like=True):
    """The database system that a server belongs to, and the newest timeline of it that the server has reached.

    A promotion begins a timeline with a higher number. So of two primaries of one system, the one on the older timeline
    was superseded by a failover.
    """

    system: int
    """The system identifier, as ``pg_control_system()`` returns it."""
    timeline: int

    def is_behind(self, other: History) -> bool:
        """Whether the other one is of the same system, and on a newer timeline."""
        return self.system == other.system and self.timeline < other.timeline

    def __str__(self) -> str:
        return f"timeline {self.timeline} of system {self.system}"


class Superseded(msgspec.Struct, frozen=True, array_like=True):
    """A primary that is on an older timeline than somebody has seen."""

    history: History
    address: str
    """Where its node has connected to."""


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

    @property
    def history(self) -> History | None:
        """Its system and timeline; None if they are not known."""
        return History(self.system, self.timeline) if self.system else None

    def __str__(self) -> str:
        return f"{self.lsn} on timeline {self.timeline}" if self.system else str(self.lsn)


#: Stands for a position that nobody could ask the primary for. It comes after every other, so no replica reaches it.
UNKNOWN = Position(UNKNOWN_LSN)


def later(known: Position | None, told: Position) -> Position:
    """The later of two positions. If they belong to different systems, it is ``told``, which is news from the primary.

    A server that this role may not ask tells neither its system nor its timeline, or only one of them. They are taken
    to be the other position's.
    """
    if known is None or UNKNOWN_LSN in (known.lsn, told.lsn):
        return told
    if known.system and told.system and known.system != told.system:
        return told
    if known.timeline and told.timeline and known.timeline != told.timeline:
        found = known if known.timeline > told.timeline else told
    else:
        found = known if known.lsn >= told.lsn else told
    system, timeline = found.system or known.system or told.system, found.timeline or known.timeline or told.timeline
    return found if found.system == system and found.timeline == timeline else Position(found.lsn, system, timeline)
