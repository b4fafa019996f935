"""The state of a transaction on the primary, as its caller's connection tracks it. No I/O."""

from __future__ import annotations

from threading import get_ident
from typing import NamedTuple

from psycopg2 import extensions as ext
from psycopg2.errorcodes import IN_FAILED_SQL_TRANSACTION, INVALID_SAVEPOINT_SPECIFICATION

from ..classify import Kind, Statement
from ..classify.session_change import LEAVES_STATE, NOTHING
from ..postgres.sql_error import made_error
from ..protocol.messages import OpenTransaction
from ..sessions.operation import Operation


class _Savepoint(NamedTuple):
    name: str
    waiting_at: int | None
    """The index of its command among the pending statements; None if other statements may have run since."""


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
        self.operation: Operation | None = None
        """The operation of the application's that it is, if it has been sent as one."""
        self._savepoints: list[_Savepoint] = []

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
            self._savepoints.append(_Savepoint(statement.name or "", len(self.pending)))
        elif index is None:
            return False
        else:
            waiting_at = self._savepoints[index].waiting_at
            self.note(statement)
            if waiting_at is not None:  # nothing has run since: this is as if it had never been, or had just been made
                del self.pending[waiting_at + (statement.kind is Kind.ROLLBACK_TO) :]
                return True
        self.pending.append(sql)
        return True

    def check(self, statement: Statement) -> None:
        """Raise what Postgres would if the transaction has failed before anything of it was sent."""
        if not (self.failed and self.is_unsent) or statement.kind in (Kind.COMMIT, Kind.ROLLBACK):
            return
        if statement.kind is Kind.ROLLBACK_TO:
            raise made_error(INVALID_SAVEPOINT_SPECIFICATION, f'savepoint "{statement.name}" does not exist')
        self.check_not_failed()

    def check_not_failed(self) -> None:
        """Raise what Postgres would if the transaction has failed."""
        if self.failed:
            raise made_error(
                IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )

    def note(self, statement: Statement) -> None:
        """Keep the savepoints in step with a statement that succeeds."""
        name = statement.name or ""
        if statement.kind in (Kind.COMMIT, Kind.ROLLBACK) or statement.ends_transaction:
            self._savepoints = []  # with AND CHAIN, another transaction begins
            return
        if statement.kind is Kind.SAVEPOINT:
            self._savepoints.append(_Savepoint(name, None))
            return
        index = self.savepoint(name)
        if index is None:
            return
        if statement.kind is Kind.RELEASE:
            del self._savepoints[index:]
        elif statement.kind is Kind.ROLLBACK_TO:
            del self._savepoints[index + 1 :]
            self.status = ext.TRANSACTION_STATUS_INTRANS

    def note_changes(self, statement: Statement, *, failed: bool) -> None:
        """Note what a statement may have changed; a session-level lock outlives its failure, and that of the rest."""
        self.changes |= statement.session_changes
        if statement.ends_transaction or statement.kind in (Kind.COMMIT, Kind.ROLLBACK):
            self.opened = None  # another one is open
        self.writes |= statement.kind is Kind.WRITE
        self.fetches_may_change_role |= statement.opens_cursor and statement.changes.may_change_role
        if failed and statement.leaves_state:
            self.changes |= LEAVES_STATE
        self.defines_functions |= statement.defines_functions

    def reached(self, status: int, opened: OpenTransaction | None) -> None:
        """Note that the primary has executed what was pending, what state it is in, and what it is called there."""
        self.pending, self.sent, self.status = [], True, status
        self._savepoints = [_Savepoint(each.name, None) for each in self._savepoints]
        self.opened = opened or self.opened

    @property
    def depth(self) -> int:
        """How many savepoints there are."""
        return len(self._savepoints)

    def savepoint(self, name: str | None) -> int | None:
        """The index of the innermost savepoint of that name; names shadow each other (Postgres manual, SAVEPOINT)."""
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index].name == name:
                return index
        return None
