"""What one caller has seen so far, and how it wants its statements served."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..position import Position
from .activity import ActivityLog
from .invocation import Invocation
from .pins import Pin, Pins
from .served import Served
from .wait import Wait
from .watermarks import Watermarks

D = TypeVar("D")

#: Seconds for which reads go to the primary after a write of unknown outcome. Bounded, or else the session would not
#: read on its replica again for as long as the primary region is out of reach.
UNKNOWN_SECONDS = 30.0


class Session:
    """The state of one caller. Used by one thread at a time, except for :attr:`watermarks`, which child tasks share."""

    __slots__ = (
        "_last_read",
        "_pin_all",
        "_read",
        "_unpin_all",
        "_wait",
        "activity",
        "invocation",
        "pins",
        "served",
        "task",
        "watermarks",
    )

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self.activity = activity
        """What runs directly on a primary; None if nobody will ask for it."""
        self.invocation = activity if isinstance(activity, Invocation) else None
        """The invocation that this session belongs to: a function that runs here for a caller elsewhere."""
        self.watermarks = Watermarks()
        """What the session has seen, to be told to another process."""
        self.pins = Pins()
        """By database, the position that this session's reads have to show."""
        self.served: Served | None = None
        """How the last statement or call was served; see :func:`fly_orm.sessions.running.note_served`."""
        self.task = current_task()
        """The asyncio task that the session belongs to; None for a thread's."""
        self._read: set[tuple[object, object]] = set()
        self._last_read: dict[str, tuple[object, object]] = {}
        """By database name, the server that it has used last over a connection of its own."""
        self._pin_all = self.invocation is not None and self.invocation.on_primary
        self._unpin_all = False
        self._wait: Wait | None = None

    def child(self) -> Session:
        """The session of a task started from this one: it begins with what this one has seen.

        Watermarks and reads are shared, since whoever began this session tells others of them. Pins and blocks are
        copied: each task goes on by itself.
        """
        made = Session(self.activity)
        made.watermarks, made._read = self.watermarks, self._read
        made.pins, made._last_read = Pins(self.pins), dict(self._last_read)
        made._pin_all, made._unpin_all, made._wait = self._pin_all, self._unpin_all, self._wait
        return made

    # Blocks

    @property
    def on_primary(self) -> bool:
        """Whether the innermost block is :func:`fly_orm.primary`."""
        return self._pin_all

    @property
    def on_replica(self) -> bool:
        """Whether the innermost block is :func:`fly_orm.replica`."""
        return self._unpin_all

    @contextmanager
    def reading(self, *, on_primary: bool) -> Iterator[None]:
        """A block whose reads all run on the primary, or else all on the replica."""
        before = self._pin_all, self._unpin_all
        self._pin_all, self._unpin_all = on_primary, not on_primary
        try:
            yield
        finally:
            self._pin_all, self._unpin_all = before

    @contextmanager
    def waiting(self, when: Wait) -> Iterator[None]:
        """A block in which ``when`` takes the place of every database's ``wait``."""
        before, self._wait = self._wait, when
        try:
            yield
        finally:
            self._wait = before

    def wait_or(self, default: D) -> Wait | D:
        """When this session waits for the replica; ``default`` outside of :func:`fly_orm.wait_for`."""
        return self._wait or default

    # Reading

    def may_read_over(self, connection: Any) -> bool:
        """Whether a read may run over a connection to a replica without another look at the session; notes it then.

        It may if this session has read the database over no other connection last, and neither a pin nor a block
        forbids it. The connection knows its ``database``, its ``source``, and, as ``shown``, the pin that its server
        was last found to show.
        """
        if self._pin_all:
            return False
        if self.pins:
            pin = self.pins.get(connection.database)
            if pin is not None and pin.position is not connection.shown:
                return False
        last = self._last_read.get(connection.database)
        if last is not connection.source:
            if last is not None or self._unpin_all or self._wait:
                return False
            self.note_read(connection)
        return True

    def note_read(self, connection: Any, *, follows: bool = True) -> None:
        """Note a read over a connection to a local server; ``follows`` if it showed what the one before had shown."""
        self._read.add(connection.source)
        if follows:
            self._last_read[connection.database] = connection.source

    def note_primary(self, database: str, source: tuple[object, object]) -> None:
        """Note that something runs directly on the primary, which ``source`` stands for. It may write.

        The next connection may lead to a replica, which then has to show what was done.
        """
        if self._last_read.get(database) is not source:
            self._read.add(source)
            self._last_read[database] = source

    def last_server_read(self, database: str) -> tuple[Any, Any]:
        """The router's reference and the server with which a database, given by its name, was used last, if any."""
        return self._last_read.get(database, (None, None))

    def servers_read(self, database: object) -> set[Any]:
        """The local servers on which a database, given by its router's reference, was read."""
        return {server for read, server in self._read if read is database}

    # Positions

    def saw(self, database: str, position: Position) -> None:
        """Note a position that the primary has told, to be told to others; UNKNOWN if it could not be asked."""
        if position.is_unknown:
            self.watermarks.doubt(database, UNKNOWN_SECONDS)
        else:
            self.watermarks.rise(database, position)

    def resume(self, database: str, position: Position) -> None:
        """Take over what another process has seen: the next read of the database waits for it."""
        self.watermarks.merge(database, position)
        self.pins.resume(database, position)

    def doubt(self, database: str, seconds: float) -> None:
        """Take over that another process does not know the outcome of a write, for so many seconds from now."""
        self.watermarks.doubt(database, seconds)
        self.pins.doubt(database)

    def drop_old_doubt(self, database: str) -> None:
        """Stop looking for a write of unknown outcome once its time is over; what is known besides still counts."""
        pin = self.pins.get(database)
        if pin is None or not pin.position.is_unknown or self.watermarks.in_doubt(database):
            return
        self.watermarks.settle(database)
        known = self.watermarks.known(database)
        if known is None:
            self.pins.remove(database)
        else:
            self.pins[database] = Pin(known)

    def absorb(self, inner: Session) -> None:
        """Note what a session inside this one has seen, to tell others; this one's own reads do not depend on it."""
        self.watermarks.absorb(inner.watermarks)
        self._read |= inner._read
        if self.activity is not None and inner.activity is not None:
            self.activity.absorb(inner.activity)


def current_task() -> Any:
    """The asyncio task that is running in this thread; None if there is none."""
    asyncio = sys.modules.get("asyncio")  # slow to import, and where nobody has imported it there is no task
    # While another thread is importing it, the module lacks its functions, and no loop can be running here.
    running_loop = getattr(asyncio, "_get_running_loop", None)
    loop = None if running_loop is None else running_loop()
    return None if loop is None else asyncio.current_task(loop)  # type: ignore[union-attr]
