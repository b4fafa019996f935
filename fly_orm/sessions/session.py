"""What one caller has seen so far, and how it wants its statements served."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from ..concurrency.nesting import Entered, Nesting
from ..position import Position
from .activity import ActivityLog
from .invocation import Invocation
from .pins import Pins
from .served import Served
from .wait import Wait
from .watermarks import Watermarks

D = TypeVar("D")

#: What a session has as its task once its block was left in another context than it was entered in.
LEFT = object()

#: Seconds for which reads go to the primary after a write of unknown outcome. Bounded, or else the session would not
#: read on its replica again for as long as the primary region is out of reach.
UNKNOWN_SECONDS = 30.0


class _Block(NamedTuple):
    """What a block says, for one session and the tasks that are started from it."""

    family: object
    on_primary: bool | None = None
    """Whether reads all run on the primary, or all on the replica; None if it does not say so."""
    wait: Wait | None = None


_blocks: Nesting[_Block] = Nesting("fly_orm_blocks")


class Session:
    """The state of one caller. Thread-safe: threads that run in copies of the caller's context share it.

    What blocks say belongs to each context instead, since the blocks of two threads need not end in order.
    """

    __slots__ = (
        "_family",
        "_last_read",
        "_may_pin",
        "_may_wait",
        "_read",
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
        self._family: object = object()
        """What the session has in common with those of tasks that are started from it."""
        self._may_pin = self.invocation is not None and self.invocation.on_primary
        """Whether a context of this session may be in a block that says where reads run. Each local read asks.

        It stays so, since a context that was copied in the block may last longer than the block.
        """
        self._may_wait = False
        """The same for :meth:`waiting`."""

    def child(self) -> Session:
        """The session of a task started from this one: it begins with what this one has seen.

        Watermarks and reads are shared, since whoever began this session tells others of them. Pins are copied: each
        task goes on by itself. It is in the blocks in which it was started, as its context says.
        """
        made = Session(self.activity)
        made.watermarks, made._read = self.watermarks, self._read
        made.pins, made._last_read = Pins(self.pins), dict(self._last_read)
        made._family, made._may_pin, made._may_wait = self._family, self._may_pin, self._may_wait
        return made

    def is_part_of(self, other: Session) -> bool:
        """Whether this is the other session, or that of a task which was started from it."""
        return self._family is other._family

    # Blocks

    @property
    def on_primary(self) -> bool:
        """Whether the innermost block is :func:`fly_orm.primary`."""
        return self._may_pin and self._reads_on_primary() is True

    @property
    def on_replica(self) -> bool:
        """Whether the innermost block is :func:`fly_orm.replica`."""
        return self._may_pin and self._reads_on_primary() is False

    def _reads_on_primary(self) -> bool | None:
        """What the innermost block says that says where reads run; None if no block does."""
        for entered in reversed(_blocks.entered.get()):
            block = entered.value
            if block.on_primary is not None and block.family is self._family and not entered.is_over:
                return block.on_primary
        return True if self.invocation is not None and self.invocation.on_primary else None

    def reading(self, *, on_primary: bool) -> AbstractContextManager[Entered[_Block]]:
        """A block whose reads all run on the primary, or else all on the replica."""
        self._may_pin = True
        return _blocks.block(_Block(self._family, on_primary=on_primary))

    def waiting(self, when: Wait) -> AbstractContextManager[Entered[_Block]]:
        """A block in which ``when`` takes the place of every database's ``wait``."""
        self._may_wait = True
        return _blocks.block(_Block(self._family, wait=when))

    def wait_or(self, default: D) -> Wait | D:
        """When this session waits for the replica; ``default`` outside of :func:`fly_orm.wait_for`."""
        if self._may_wait:
            for entered in reversed(_blocks.entered.get()):
                block = entered.value
                if block.wait is not None and block.family is self._family and not entered.is_over:
                    return block.wait
        return default

    # Reading

    def may_read_over(self, connection: Any) -> bool:
        """Whether a read may run over a connection to a replica without another look at the session; notes it then.

        It may if this session has read the database over no other connection last, and neither a pin nor a block
        forbids it. The connection knows its ``database``, its ``source``, and, as ``shown``, the pin that its server
        was last found to show.
        """
        if self._may_pin and self._reads_on_primary():
            return False
        if self.pins:
            pin = self.pins.get(connection.database)
            if pin is not None and pin.position is not connection.shown:
                return False
        last = self._last_read.get(connection.database)
        if last is not connection.source:
            waits = self._may_wait and self.wait_or(None) is not None
            if last is not None or waits or (self._may_pin and self.on_replica):
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
        return {server for read, server in self._read.copy() if read is database}  # other threads go on reading

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
        if pin is not None and pin.position.is_unknown and self.watermarks.settle_old(database):
            self.pins.replace(database, pin, self.watermarks.known(database))

    def absorb(self, inner: Session) -> None:
        """Note what a session inside this one has seen, to tell others; this one's own reads do not depend on it."""
        self.watermarks.absorb(inner.watermarks)
        self._read |= inner._read.copy()
        if self.activity is not None and inner.activity is not None:
            self.activity.absorb(inner.activity)


def current_task() -> Any:
    """The asyncio task that is running in this thread; None if there is none."""
    asyncio = sys.modules.get("asyncio")  # slow to import, and where nobody has imported it there is no task
    # While another thread is importing it, the module lacks its functions, and no loop can be running here.
    running_loop = getattr(asyncio, "_get_running_loop", None)
    loop = None if running_loop is None else running_loop()
    return None if loop is None else asyncio.current_task(loop)  # type: ignore[union-attr]
