"""What a session did on a primary that this process is connected to itself, recorded as it happens.

Statements that are forwarded come back with a position. Those that run directly on a primary do not, so the primary is
asked for one afterwards, if there was anything to ask about.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ..classify import SETTING_CHANGES, Kind, Statement

_ABOUT_TRANSACTIONS = frozenset(
    {Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SAVEPOINT, Kind.RELEASE, Kind.ROLLBACK_TO}
)
_WRITE_NOTHING = _ABOUT_TRANSACTIONS | SETTING_CHANGES | {Kind.READ, Kind.SERVER}
_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(kw_only=True)
class Activity:
    """What was done with one database, directly on its primary. Each field only ever becomes true, or grows."""

    wrote: bool = False
    """Whether a statement writes."""
    asynchronous: bool = False
    """Whether something may have been committed without waiting for its WAL."""
    read: bool = False
    """Whether there was a read, which may write all the same: through a function that it calls, or through a view."""
    function_names: set[str] = field(default_factory=set)
    """The functions that reads called, in lower case."""
    leaves_state: bool = False
    """Whether the Postgres session may be left with settings, temporary tables or locks."""

    def absorb(self, other: Activity) -> None:
        """Add what was done elsewhere with the same database."""
        # Nothing is read here and written back, as in ``wrote |= …``, which would lose what others note meanwhile.
        if other.wrote:
            self.wrote = True
        if other.asynchronous:
            self.asynchronous = True
        if other.read:
            self.read = True
        if other.leaves_state:
            self.leaves_state = True
        self.function_names.update(other.function_names.copy())


class ActivityLog:
    """Records the statements that run directly on a primary, by database. Any thread may call."""

    def __init__(self) -> None:
        self.by_database: dict[Hashable, Activity] = {}

    def of(self, database: Hashable) -> Activity:
        """What was done with a database so far."""
        known = self.by_database.get(database)
        return self.by_database.setdefault(database, Activity()) if known is None else known

    def record(self, database: Hashable, statement: Statement) -> None:
        """Record a statement that runs on a primary."""
        activity = self.of(database)
        if statement.kind not in _WRITE_NOTHING:
            activity.wrote = True
        elif statement.kind is Kind.READ:
            activity.read = True
        if statement.leaves_state or statement.kind is Kind.SET:
            activity.leaves_state = True
        if statement.asynchronous:
            activity.asynchronous = True
        activity.function_names.update(statement.function_names)

    def record_state(self, database: Hashable, statement: Statement) -> None:
        """Record of a statement that runs elsewhere only what it leaves in the Postgres session."""
        activity = self.of(database)
        if statement.leaves_state or statement.kind is Kind.SET:
            activity.leaves_state = True

    def absorb(self, inner: ActivityLog) -> None:
        """Add what another log has recorded."""
        if inner is not self:
            for database, activity in list(inner.by_database.items()):
                self.of(database).absorb(activity)

    def statement(self, database: Hashable, connection: Any, statement: Statement) -> AbstractContextManager[None]:
        """A block in which a statement runs on ``connection``, which is one to a primary."""
        self.record(database, statement)
        return _NOTHING

    def check(self) -> None:
        """Raise what has to be raised before a transaction commits."""
