"""What a session did with databases whose primary this process is connected to, activity as it happens."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ..classify import Kind, Statement

_ASYNCHRONOUS = "synchronous_commit"
_WRITE_NOTHING = frozenset(
    {
        *(Kind.READ, Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO),
        *(Kind.SET, Kind.SET_LOCAL, Kind.SERVER),
    }
)
_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(kw_only=True)
class Activity:
    """What was done with one database, directly on its primary."""

    wrote: bool = False
    """Whether a statement writes."""
    asynchronous: bool = False
    """Whether something may have been committed without waiting for its WAL."""
    read: bool = False
    """Whether something that looks like a read may write, as a function that is called or a view may."""
    function_names: set[str] = field(default_factory=set)
    """The names of functions called by what looks like reads."""
    leaves_state: bool = False
    """Whether its session may have been left with settings, temporary tables or locks."""

    def absorb(self, other: Activity) -> None:
        """Add what was done elsewhere with the same database."""
        self.wrote |= other.wrote
        self.asynchronous |= other.asynchronous
        self.read |= other.read
        self.function_names |= other.function_names
        self.leaves_state |= other.leaves_state


class ActivityLog:
    """Notes the statements that run directly on a primary, which answers them without a position. Any thread may."""

    def __init__(self) -> None:
        self.by_database: dict[Hashable, Activity] = {}
        """By database."""

    def of(self, database: Hashable) -> Activity:
        """What was done with a database so far."""
        return self.by_database.setdefault(database, Activity())

    def record(self, database: Hashable, statement: Statement, text: str) -> None:
        """Note a statement that runs on this node's own primary."""
        activity = self.of(database)
        activity.wrote |= statement.kind not in _WRITE_NOTHING
        activity.read |= statement.kind is Kind.READ
        activity.function_names.update(statement.function_names)
        activity.leaves_state |= statement.pins or statement.kind is Kind.SET
        unreadable = statement.kind in (Kind.SET, Kind.SET_LOCAL) and statement.name is None
        if unreadable or _ASYNCHRONOUS in text.lower():
            activity.asynchronous = True

    def absorb(self, inner: ActivityLog) -> None:
        """Add what is activity elsewhere."""
        if inner is not self:
            for database, activity in list(inner.by_database.items()):
                self.of(database).absorb(activity)

    def statement(
        self, database: Hashable, connection: Any, statement: Statement, text: str
    ) -> AbstractContextManager[None]:
        """A block in which a statement runs on a connection to this node's own primary."""
        self.record(database, statement, text)
        return _NOTHING

    def check(self) -> None:
        """Raise what has to be raised before a transaction commits."""
