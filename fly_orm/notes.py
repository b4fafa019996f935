"""What a session did with databases whose primary this process is connected to, noted as it happens."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from .classify import Kind, Statement

_ASYNCHRONOUS = "synchronous_commit"
_WRITE_NOTHING = frozenset(
    {
        *(Kind.READ, Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO),
        *(Kind.SET, Kind.SET_LOCAL, Kind.SERVER),
    }
)
_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(kw_only=True)
class Touched:
    """What was done with one database, directly on its primary."""

    wrote: bool = False
    """Whether a statement writes."""
    asynchronous: bool = False
    """Whether something may have been committed without waiting for its WAL."""
    read: bool = False
    """Whether something that looks like a read may write, as a function that is called or a view may."""
    calls: set[str] = field(default_factory=set)
    """The names of functions called by what looks like reads."""
    leaves_state: bool = False
    """Whether its session may have been left with settings, temporary tables or locks."""

    def absorb(self, other: Touched) -> None:
        """Add what was done elsewhere with the same database."""
        self.wrote |= other.wrote
        self.asynchronous |= other.asynchronous
        self.read |= other.read
        self.calls |= other.calls
        self.leaves_state |= other.leaves_state


class Notes:
    """Notes the statements that run directly on a primary, which answers them without a position. Any thread may."""

    def __init__(self) -> None:
        self.touched: dict[Hashable, Touched] = {}
        """By database."""

    def of(self, database: Hashable) -> Touched:
        """What was done with a database so far."""
        return self.touched.setdefault(database, Touched())

    def note(self, database: Hashable, statement: Statement, text: str) -> None:
        """Note a statement that runs on this node's own primary."""
        touched = self.of(database)
        touched.wrote |= statement.kind not in _WRITE_NOTHING
        touched.read |= statement.kind is Kind.READ
        touched.calls.update(statement.calls)
        touched.leaves_state |= statement.pins or statement.kind is Kind.SET
        unreadable = statement.kind in (Kind.SET, Kind.SET_LOCAL) and statement.name is None
        if unreadable or _ASYNCHRONOUS in text.lower():
            touched.asynchronous = True

    def absorb(self, inner: Notes) -> None:
        """Add what is noted elsewhere."""
        if inner is not self:
            for database, touched in list(inner.touched.items()):
                self.of(database).absorb(touched)

    def statement(
        self, database: Hashable, connection: Any, statement: Statement, text: str
    ) -> AbstractContextManager[None]:
        """A block in which a statement runs on a connection to this node's own primary."""
        self.note(database, statement, text)
        return _NOTHING

    def check(self) -> None:
        """Raise what has to be raised before a transaction commits."""
