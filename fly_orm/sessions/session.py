"""What one caller has seen so far, and how it wants to see more."""

from __future__ import annotations

import sys
from typing import Any

from ..position import UNKNOWN, Position, later
from .activity import ActivityLog
from .invocation import Invocation
from .served import Served
from .wait import Wait
from .watermarks import Watermarks

#: Reads go to the primary for at most so long after a write whose outcome is unknown: it must not keep them from the
#: replica for ever while the primary region is out of reach.
UNKNOWN_SECONDS = 30.0


class Session:
    """What one caller has seen, and how it wants to see more. Used by one thread at a time."""

    __slots__ = (
        "activity",
        "behind",
        "due",
        "invocation",
        "on_primary",
        "on_replica",
        "read",
        "resumed",
        "served",
        "task",
        "wait",
        "waited",
        "watermarks",
    )

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self.activity = activity
        """Where it is activity what runs directly on a primary; None if nobody asked for that."""
        self.invocation = activity if isinstance(activity, Invocation) else None
        """The run of a function for a caller elsewhere that this session is the inside of."""
        self.watermarks = Watermarks()
        """What it has seen, to be told to another process."""
        self.behind: dict[str, Position] = {}
        """By database: the position that reads have to show, and that its replica had not replayed when last asked."""
        self.due: set[str] = set()
        """The databases whose next read waits for that position; reads of the others go to the primary till then."""
        self.resumed: set[str] = set()
        """The databases of which that position is what another process has told."""
        self.read: set[object] = set()
        """The databases that it has read, or may have, on a local server that is, or was, a replica."""
        self.on_primary = False
        """Whether the innermost block says :func:`primary`."""
        self.on_replica = False
        """Whether it says :func:`replica`."""
        self.wait: Wait | None = None
        """What the innermost :func:`wait_for` says."""
        self.waited = 0.0
        """Seconds that the read which is about to run has waited for the replica."""
        self.served: Served | None = None
        """How the last statement was served."""
        self.task = current_task()
        """The asyncio task that it belongs to; None for a thread's."""

    def child(self) -> Session:
        """That of a task which was started from this session: it has seen as much, and goes its own way."""
        made = Session(self.activity)
        made.watermarks, made.read = self.watermarks, self.read  # of which whoever began this session tells others
        made.behind, made.due, made.resumed = dict(self.behind), set(self.due), set(self.resumed)
        made.on_primary, made.on_replica, made.wait = self.on_primary, self.on_replica, self.wait
        return made

    def saw(self, database: str, position: Position) -> None:
        """Note what the primary has told, or UNKNOWN for what it could not be asked for, to be told to others."""
        if position.is_unknown:
            self.watermarks.doubt(database, UNKNOWN_SECONDS)
        else:
            self.watermarks.rise(database, position)

    def pin(self, database: str, position: Position) -> None:
        """Keep this session's reads of a database on the primary until its replica has replayed a position.

        UNKNOWN keeps them there until a position is known that covers it, or the doubt is over.
        """
        self.behind[database] = later(self.behind.get(database), position)
        self.resumed.discard(database)

    def resume(self, database: str, position: Position) -> None:
        """Take over what another process has seen. Where that does not compare, what the primary has said here counts.

        The next read waits for it; what is in doubt here stays so.
        """
        self.watermarks.merge(database, position)
        behind = self.behind.get(database)
        if behind is None:
            self.resumed.add(database)
        self.behind[database] = position if behind is None else later(position, behind)
        self.due.add(database)

    def doubt(self, database: str, seconds: float) -> None:
        """Take over what another process is in doubt of."""
        self.watermarks.doubt(database, seconds)
        self.behind[database] = UNKNOWN

    def absorb(self, inner: Session) -> None:
        """Note what a session within this one has seen, to tell others; this one's own reads do not depend on it."""
        self.watermarks.absorb(inner.watermarks)
        self.read |= inner.read
        if self.activity is not None and inner.activity is not None:
            self.activity.absorb(inner.activity)

    def caught_up(self, database: str, position: Position) -> None:
        """The replica has replayed what the primary has told last; let reads go there if that is enough."""
        if later(self.behind.get(database), position) == position:
            self.unpin(database)

    def forget_unknown(self, database: str) -> Position | None:
        """Believe that a write of unknown outcome is over; returns what reads of the database have to show besides."""
        self.unpin(database)
        self.watermarks.settle(database)
        known = self.watermarks.known(database)
        if known is not None:
            self.behind[database] = known
        return known

    def unpin(self, database: str) -> None:
        """Let reads of a database go to the replica again."""
        self.behind.pop(database, None)
        self.due.discard(database)
        self.resumed.discard(database)


def current_task() -> Any:
    """The asyncio task that is running in this thread; None if there is none."""
    asyncio = sys.modules.get("asyncio")  # which takes its time to import, and without which there is no task
    loop = None if asyncio is None else asyncio._get_running_loop()
    return None if loop is None else asyncio.current_task(loop)  # type: ignore[union-attr]
