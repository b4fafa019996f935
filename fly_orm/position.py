"""How far a database has got, and in which course of events."""

from __future__ import annotations

import msgspec

from .lsn import LSN, UNKNOWN_LSN


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A position in the write-ahead log of one system, on one of its timelines.

    LSNs of two timelines do not compare: a failover begins a timeline, in which the same LSNs are used again (Postgres
    manual, section "Timelines"). Whatever of an older timeline has survived comes before all that is on a newer one.
    """

    lsn: LSN
    system: int = 0
    """Identifies the system, as ``pg_control_system()`` has it; 0 where that may not be asked."""
    timeline: int = 0

    @property
    def is_unknown(self) -> bool:
        """Whether it stands for a position that could not be asked for."""
        return self.lsn == UNKNOWN_LSN

    def __str__(self) -> str:
        return f"{self.lsn} on timeline {self.timeline}" if self.system else str(self.lsn)


#: Later than every position there will ever be: stands for one that could not be asked for.
UNKNOWN = Position(UNKNOWN_LSN)


def later(known: Position | None, told: Position) -> Position:
    """The later of two positions; ``told`` where they do not compare, which comes from the primary as it is now."""
    if known is None or known.is_unknown or told.is_unknown or known.system != told.system:
        return told
    return max(known, told, key=lambda position: (position.timeline, position.lsn))
