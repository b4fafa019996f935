"""The scope in which a caller sees its own writes, and what it has seen so far.

A session belongs to a context (:mod:`contextvars`): each thread has its own, and so has each task that starts one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .invocation import Invocation
from .lsn import LSN, UNKNOWN_LSN


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
    """What one caller has seen. Used by one thread at a time."""

    __slots__ = ("behind", "invocation", "on_primary", "served")

    def __init__(self, invocation: Invocation | None = None) -> None:
        self.invocation = invocation
        """The run of a function for a caller elsewhere that this session is the inside of."""
        self.behind: dict[str, LSN] = {}
        """By database: the commit LSN that its replica had not replayed when last asked; reads are pinned till then."""
        self.on_primary = 0
        """How many :func:`primary` blocks are open."""
        self.served: Served | None = None
        """How the last statement was served."""

    def pin(self, database: str, lsn: LSN) -> None:
        """Keep this session's reads of a database on the primary until its replica has replayed ``lsn``.

        UNKNOWN_LSN keeps them there until a position is known that covers it.
        """
        known = self.behind.get(database, lsn)
        self.behind[database] = lsn if UNKNOWN_LSN in (lsn, known) else max(lsn, known)

    def caught_up(self, database: str, commit: LSN) -> None:
        """The replica has replayed a commit that is this session's latest; let reads go there if that is enough."""
        if self.behind.get(database, commit) in (commit, UNKNOWN_LSN) or self.behind[database] < commit:
            self.unpin(database)

    def unpin(self, database: str) -> None:
        """Let reads of a database go to the replica again."""
        self.behind.pop(database, None)


_current: ContextVar[Session] = ContextVar("fly_orm_session")


def current() -> Session:
    """The session of the calling context, begun now if there is none."""
    try:
        return _current.get()
    except LookupError:
        session = Session()
        _current.set(session)
        return session


def invocation() -> Invocation | None:
    """The run of a function for a caller elsewhere that this code is part of; None outside of any."""
    session = _current.get(None)
    return None if session is None else session.invocation


def enter(session: Session) -> None:
    """Make this the session of the calling context."""
    _current.set(session)


@contextmanager
def primary() -> Iterator[None]:
    """Inside this block, every statement of this context runs on the primary, reads included.

    For reads that must not lag, and for functions that write and hide the replica's refusal from their caller, such as
    a PL/pgSQL block with ``EXCEPTION WHEN OTHERS``.
    """
    session = current()
    session.on_primary += 1
    try:
        yield
    finally:
        session.on_primary -= 1


def why() -> Served | None:
    """How the last statement of this context was served; None before the first, and on an unrouted database."""
    return current().served
