"""The state of a transaction on the primary, as its caller's connection tracks it. No I/O."""

from __future__ import annotations

from threading import get_ident

from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..classify.session_change import LEAVES_STATE, NOTHING
from ..protocol.messages import OpenTransaction
from ..sessions.operation import Operation


class RemoteTransaction:
    """Statements not yet sent, open savepoints, and what the Postgres session may have that the replica's lacks."""

    def __init__(self, pending: list[bytes] | None = None) -> None:
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
        self._savepoints: list[str] = []

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
        if statement.kind is not Kind.SAVEPOINT and self._find(statement.name) is None:
            return False
        self.note(statement)
        self.pending.append(sql)
        return True

    def note(self, statement: Statement) -> None:
        """Keep the savepoints in step with a statement that succeeds."""
        name = statement.name or ""
        if statement.kind in (Kind.COMMIT, Kind.ROLLBACK) or statement.ends_transaction:
            self._savepoints = []  # with AND CHAIN, another transaction begins
            return
        if statement.kind is Kind.SAVEPOINT:
            self._savepoints.append(name)
            return
        index = self._find(name)
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
        self.opened = opened or self.opened

    def _find(self, name: str | None) -> int | None:
        """The index of the innermost savepoint of that name; names shadow each other (Postgres manual, SAVEPOINT)."""
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index] == name:
                return index
        return None
