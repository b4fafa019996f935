"""The scope in which a caller sees its own writes, and what it has seen so far.

A session belongs to a context (:mod:`contextvars`): each thread has its own, and so has each asyncio task.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from .errors import check_choice
from .invocation import Invocation
from .notes import Notes
from .position import UNKNOWN, Position, later
from .watermarks import Watermarks

#: When the caller waits until its replica shows what was written: at the write, at its next read, or never.
Wait = Literal["write", "read", "none"]
WAITS = ("write", "read", "none")


#: Reads go to the primary for at most so long after a write whose outcome is unknown: it must not keep them from the
#: replica for ever while the primary region is out of reach.
UNKNOWN_SECONDS = 30.0


class Route(enum.Enum):
    """Where a statement, or a function, runs."""

    LOCAL = "local"
    PRIMARY = "primary"
    REGION = "region"
    """In another region, which is not the primary one: only functions are sent there."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a statement, or a function, was served, why, and what it cost."""

    route: Route
    why: str
    """A short clause: what about the statement, the transaction or the session decided the route."""
    node: str | None = None
    """The node that executed it, as ``region=address``; None if it ran here."""
    rpc: float = 0.0
    """Seconds from sending the request to having its reply."""
    wait: float = 0.0
    """Seconds spent waiting for the replica after that."""


class Session:
    """What one caller has seen, and how it wants to see more. Used by one thread at a time."""

    __slots__ = (
        "behind",
        "due",
        "invocation",
        "notes",
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

    def __init__(self, notes: Notes | None = None) -> None:
        self.notes = notes
        """Where it is noted what runs directly on a primary; None if nobody asked for that."""
        self.invocation = notes if isinstance(notes, Invocation) else None
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
        self.task = _task()
        """The asyncio task that it belongs to; None for a thread's."""

    def child(self) -> Session:
        """That of a task which was started from this session: it has seen as much, and goes its own way."""
        made = Session(self.notes)
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
        if self.notes is not None and inner.notes is not None:
            self.notes.absorb(inner.notes)

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


_current: ContextVar[Session] = ContextVar("fly_orm_session")


def current() -> Session:
    """The session of the calling context, begun now if there is none.

    A task that was started from the session of another task, or of a thread, begins with what that had seen. A thread
    that runs in a copy of a task's context, as ``asyncio.to_thread`` lets it, takes part in the task's own session.
    """
    session = _current.get(None)
    if session is not None:
        task = _task()
        if task is None or session.task is task:
            return session
    session = Session() if session is None else session.child()
    _current.set(session)
    return session


def _task() -> Any:
    """The asyncio task that is running in this thread; None if there is none."""
    asyncio = sys.modules.get("asyncio")  # which takes its time to import, and without which there is no task
    loop = None if asyncio is None else asyncio._get_running_loop()
    return None if loop is None else asyncio.current_task(loop)  # type: ignore[union-attr]


def invocation() -> Invocation | None:
    """The run of a function for a caller elsewhere that this code is part of; None outside of any."""
    session = _current.get(None)
    return None if session is None else session.invocation


def notes() -> Notes | None:
    """Where it is noted what this code does directly on a primary; None if nobody asked for that."""
    session = _current.get(None)
    return None if session is None else session.notes


def enter(session: Session) -> None:
    """Make this the session of the calling context."""
    _current.set(session)


@contextmanager
def session() -> Iterator[None]:
    """A block with a session of its own, which begins with nothing seen: one request of one user, say.

    Within another such block, that one's :func:`fly_orm.token` tells what was seen in this one, too.

    Without it a session lasts as long as the thread, or the task, which is right for scripts and for servers that use a
    thread or a task for each request.
    """
    outer = _current.get(None)
    inner = Session(Notes() if outer is None or outer.invocation is None else outer.invocation)
    token = _current.set(inner)
    try:
        yield
    finally:
        _current.reset(token)
        if outer is not None and outer.notes is not None:
            outer.absorb(inner)


@contextmanager
def wait_for(when: Wait) -> Iterator[None]:
    """Inside this block, ``when`` takes the place of the ``wait`` of every database: see :func:`fly_orm.wrap`."""
    check_choice("wait_for()", when, *WAITS)
    here = current()
    before, here.wait = here.wait, when
    try:
        yield
    finally:
        here.wait = before


def primary() -> AbstractContextManager[None]:
    """Inside this block, every statement of this context runs on the primary, reads included.

    For reads that must not lag, and for functions that write and hide the replica's refusal from their caller, such as
    a PL/pgSQL block with ``EXCEPTION WHEN OTHERS``.
    """
    return _reading(on_primary=True)


def replica() -> AbstractContextManager[None]:
    """Inside this block, reads stay on the local replica, however much less it shows than the session has seen.

    For reads that would rather be old than wait, or than go to the primary region. Transactions run where they would.
    """
    return _reading(on_primary=False)


@contextmanager
def _reading(*, on_primary: bool) -> Iterator[None]:
    here = current()
    before = here.on_primary, here.on_replica
    here.on_primary, here.on_replica = on_primary, not on_primary
    try:
        yield
    finally:
        here.on_primary, here.on_replica = before


def why() -> Served | None:
    """How the last statement of this context was served; None before the first, and on an unrouted database."""
    return current().served
