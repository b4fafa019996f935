"""How far one server instance is known to have got. Asks no server."""

from __future__ import annotations

from ..deadline import now
from ..errors import ReplicationTimeout
from ..lsn import LSN
from ..position import History, Position, later
from .instance import Instance
from .lateness import Lateness

#: Seconds after which a replica that was on another timeline is asked again.
ASK_INTERVAL = 1.0


class Progress:
    """What is known about one server instance, or about an address behind a pooler. Thread-safe."""

    def __init__(self, instance: Instance | None) -> None:
        self.instance = instance
        self.where = f"at {instance}, the replica of this region"
        """Completes "seen …" in the log."""
        self.history: History | None = None
        """Its system, and the newest timeline of which it has replayed something; None if it could not be asked."""
        self.lateness = Lateness(instance)
        self._shown: Position | None = None
        self._ask_at = 0.0

    def shows(self, position: Position) -> bool:
        """Whether the server is known to show a position. Nothing is ever known about an address behind a pooler."""
        shown = self._shown
        return (
            shown is not None
            and self.instance is not None
            and position.system == shown.system
            # An older position beyond the LSN was lost in a failover, and is not shown by anything.
            and position.timeline <= shown.timeline
            and position.lsn <= shown.lsn
        )

    def note(self, position: Position) -> None:
        """Note that the server has shown a position."""
        self._shown = later(self._shown, position)

    def note_replayed(self, lsn: LSN) -> None:
        """Note what the server has replayed, unless it is not known on which timeline."""
        if self.history is not None:
            self.note(self.position(lsn))

    def position(self, lsn: LSN) -> Position:
        """The position at an LSN that the server has replayed."""
        history = self.history
        return Position(lsn) if history is None else Position(lsn, history.system, history.timeline)

    def may_ask_again(self) -> bool:
        """Whether it is time to ask for the history again, which may be that of a failover."""
        if now() < self._ask_at:
            return False
        self._ask_at = now() + ASK_INTERVAL
        return True

    def includes(self, position: Position) -> bool:
        """Whether the server's history includes the position's timeline."""
        history = self.history
        return not position.system or (
            history is not None and history.system == position.system and history.timeline >= position.timeline
        )

    def is_elsewhere(self, position: Position) -> bool:
        """Whether the position belongs to another system."""
        history = self.history
        return bool(position.system) and history is not None and history.system != position.system

    def is_past(self, position: Position) -> bool:
        """Whether the server has followed a failover since: it shows the position at once, or the failover lost it."""
        history = self.history
        return bool(position.system) and history is not None and history.timeline > position.timeline

    def has_left(self, position: Position) -> bool:
        """Whether it shows the position at once, or never."""
        history = self.history
        if history is None or (history.system == position.system and history.timeline == position.timeline):
            return False  # nearly always
        return self.is_elsewhere(position) or self.is_past(position)

    def why_behind(self, position: Position) -> str:
        """A clause, if the server may have missed a failover, as far as is known; empty otherwise."""
        history = self.history
        if history is None or self.includes(position) or self.is_elsewhere(position):
            return ""
        return (
            f", and is not known to have left timeline {history.timeline}, while the primary is on timeline "
            f"{position.timeline}: let it follow the new primary (primary_conninfo)"
        )

    def elsewhere(self, position: Position) -> ReplicationTimeout:
        """The error for a position that the server will not show however long anybody waits; its fact is ``final``."""
        history = self.history
        if history is None:
            found = "cannot be asked for its timeline"
        elif history.system != position.system:
            found = f"belongs to another system ({history.system}, not {position.system})"
        elif history.timeline > position.timeline:
            found = f"has followed a failover to timeline {history.timeline} without it"
        else:
            found = f"is not known to be on a later timeline than {history.timeline}"
        return ReplicationTimeout(
            f"committed at {position}, but this region's replica {found}", lsn=position.lsn, final=True, reason=found
        )
