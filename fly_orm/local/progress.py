"""How far one server instance is known to have got. Pure, except for the log of :class:`Lateness`."""

from __future__ import annotations

from ..errors import ReplicationTimeout
from ..position import History, Position, later
from .instance import Instance
from .lateness import Lateness


class Progress:
    """What is known about one server instance, or about an address behind a pooler. Thread-safe."""

    def __init__(self, instance: Instance | None) -> None:
        self.instance = instance
        self.history: History | None = None
        """Its system, and the newest timeline of which it has replayed something; None if it could not be asked."""
        self.lateness = Lateness(instance)
        self._shown: Position | None = None

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
            f"committed at {position}, but this region's replica {found}", lsn=position.lsn, final=True
        )
