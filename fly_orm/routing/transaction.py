"""The state of a transaction on the primary, as its caller's connection tracks it. No I/O."""

from __future__ import annotations

from threading import get_ident

from psycopg2 import extensions as ext
from psycopg2.errorcodes import IN_FAILED_SQL_TRANSACTION, INVALID_SAVEPOINT_SPECIFICATION

from ..classify import ENDS, Kind, Statement
from ..classify.session_change import LEAVES_STATE, NOTHING
from ..postgres.sql_error import made_error
from ..protocol.messages import OpenTransaction
from ..sessions.operation import Operation


class Savepoint:
    """What a transaction does from a savepoint on, until it is undone: a ROLLBACK TO makes another one of its name."""

    __slots__ = ("name", "undone", "waiting_at")

    def __init__(self, name: str, waiting_at: int | None = None) -> None:
        self.name = name
        self.waiting_at = waiting_at
        """The index of its command among the pending statements; None if other statements may have run since."""
        self.undone = False
        """Whether the transaction was rolled back to it, or to one around it."""


class RemoteTransaction:
    """Statements not yet sent, open savepoints, and what the Postgres session may have that the replica's lacks."""

    def __init__(self, pending: list[bytes] | None = None, isolation: str | None = None) -> None:
        """``isolation`` is the level that its BEGIN names, if it names one."""
        self.isolation = isolation
        self.thread = get_ident()
        """The thread that has begun it."""
        self.status: int = ext.TRANSACTION_STATUS_INTRANS
        self.pending = pending or []
        """Statements that are sent with the next one."""
        self.sent = False
        """Whether anything of the transaction was sent to the primary."""
        self.lost: BaseException | None = None
        """The error that lost its connection; the transaction is rolled back then. None while it has one."""
        self.changes = NOTHING
        """What its statements may have changed in the Postgres session, to be looked for at its end."""
        self.fetches_may_change_role = False
        """Whether a cursor is open whose functions may change the role when rows are fetched."""
        self.defines_functions = False
        self.opened: OpenTransaction | None = None
        """What it is called on the primary, once it has written something and that is known."""
        self.writes = False
        """Whether one of its statements writes."""
        self.has_snapshot = False
        """Whether it has certainly taken a snapshot, so that another query does not take its first one."""
        self.operation: Operation | None = None
        """The operation of the application's that it is, if it has been sent as one."""
        self._savepoints: list[Savepoint] = []
        self._knows_savepoints = True
        """Whether these are the primary's; not so after a text of which only a part was executed."""

    @property
    def failed(self) -> bool:
        """Whether it can only be rolled back, to a savepoint or entirely."""
        return self.status == ext.TRANSACTION_STATUS_INERROR

    @property
    def is_unsent(self) -> bool:
        """Whether only its BEGIN and savepoints are there yet."""
        return not self.sent and self.lost is None

    def delay(self, statement: Statement, sql: bytes) -> bool:
        """Take a savepoint command to send with the next statement; False if the primary has to decide about it."""
        index = self.savepoint(statement.name)
        if statement.kind is Kind.SAVEPOINT:
            self._savepoints.append(Savepoint(statement.name or "", len(self.pending)))
        elif index is None or not self._knows_savepoints:
            return False
        else:
            waiting_at = self._savepoints[index].waiting_at
            self.note(statement)
            if waiting_at is not None:  # nothing has run since: this is as if it had never been, or had just been made
                del self.pending[waiting_at + (statement.kind is Kind.ROLLBACK_TO) :]
                return True
        self.pending.append(sql)
        return True

    def check(self, statement: Statement) -> bool:
        """Raise what Postgres would if the transaction has failed before anything of it was sent.

        Whether it has, and the primary has to decide about the statement: it may end the transaction, or undo its
        failure.
        """
        if not (self.failed and self.is_unsent):
            return False
        if statement.kind in ENDS or statement.controls or statement.ends_transaction:
            return True
        if statement.kind is Kind.ROLLBACK_TO and statement.simple:
            raise made_error(INVALID_SAVEPOINT_SPECIFICATION, f'savepoint "{statement.name}" does not exist')
        if statement.kind is not Kind.ROLLBACK_TO:
            self.check_not_failed()
        return True

    def check_not_failed(self) -> None:
        """Raise what Postgres would if the transaction has failed."""
        if self.failed:
            raise made_error(
                IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )

    def note(self, statement: Statement) -> None:
        """Keep the savepoints in step with a statement that succeeds."""
        if statement.controls:
            for each in statement.controls:
                self.note(each)
            return
        name = statement.name or ""
        if statement.kind in ENDS or statement.ends_transaction:
            self._savepoints = []  # with AND CHAIN, another transaction begins
            self._knows_savepoints = True
            return
        if statement.kind is Kind.SAVEPOINT:
            self._savepoints.append(Savepoint(name))
            return
        index = self.savepoint(name)
        if index is None:
            return
        if statement.kind is Kind.RELEASE:
            del self._savepoints[index:]
        elif statement.kind is Kind.ROLLBACK_TO:
            for undone in self._savepoints[index:]:
                undone.undone = True
            self._savepoints[index:] = [Savepoint(name, self._savepoints[index].waiting_at)]
            self.status = ext.TRANSACTION_STATUS_INTRANS

    def note_changes(self, statement: Statement, *, failed: bool) -> None:
        """Note what a statement may have changed; a session-level lock outlives its failure, and that of the rest."""
        self.changes |= statement.session_changes
        if failed and statement.controls:
            self._knows_savepoints = False
        if statement.ends_transaction or statement.kind in ENDS:
            self.opened, self.has_snapshot = None, False  # another one is open
        self.has_snapshot |= statement.takes_snapshot and not failed
        self.writes |= statement.kind is Kind.WRITE
        self.fetches_may_change_role |= statement.opens_cursor and statement.changes.may_change_role
        if failed and statement.leaves_state:
            self.changes |= LEAVES_STATE
        self.defines_functions |= statement.defines_functions

    def reached(self, status: int, opened: OpenTransaction | None) -> None:
        """Note that the primary has executed what was pending, what state it is in, and what it is called there."""
        self.pending, self.sent, self.status = [], True, status
        for each in self._savepoints:
            each.waiting_at = None
        self.opened = opened or self.opened

    @property
    def savepoints(self) -> tuple[Savepoint, ...]:
        """Those that are open, the innermost one last."""
        return tuple(self._savepoints)

    def savepoint(self, name: str | None) -> int | None:
        """The index of the innermost savepoint of that name; names shadow each other (Postgres manual, SAVEPOINT)."""
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index].name == name:
                return index
        return None
