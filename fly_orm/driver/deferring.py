"""Transactions that begin on the primary only with the first statement that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import ReplicationTimeout
from ..routing.remote_connection import RemoteConnection
from .held_cursors import HeldCursors
from .modes import ConnectionModes
from .transaction_mode import begins_late

NOTHING_HELD = nullcontext()


class DeferredTransactions(ConnectionModes):
    """Lets reads run on the replica, each by itself, while nothing of their transaction has been sent.

    The transaction is one all the same: a read that fails lets it fail, its savepoints take effect when it begins, and
    its named cursors end with it.
    """

    remote: RemoteConnection
    promoted: Any
    pooled: bool
    defers_transactions = False
    """Whether transactions begin with the first statement that needs the primary: those that the connection begins by
    itself (PEP 249, Connection.commit), and those that a BEGIN begins. Reads before it run on the replica.

    Only transactions at READ COMMITTED can do so; those that read one snapshot have to begin with their first read. It
    may be changed at any time, and counts from the next statement on. A transaction that has begun stays where it is.
    """
    entered: bool
    """Whether the connection is inside ``with connection:``, where autocommit does not count."""
    ends = 0
    """How often ``commit()`` or ``rollback()`` was called, after which named cursors are not valid any more."""
    has_declared = False
    """Whether a named cursor was ever declared on the replica."""
    held_cursors: HeldCursors | None = None
    """The named cursors of the transaction that were declared on the replica; None if there is none."""

    @property
    def begins(self) -> bool:
        """Whether the next statement begins a transaction."""
        return (not self.mode.autocommit or self.entered) and not self._begun

    @property
    def defers_reads(self) -> bool:
        """Whether reads run outside of the transaction, of which nothing has been sent yet."""
        if not self.defers_transactions:
            return False
        transaction = self.remote.transaction
        late = self.mode.begins_late if transaction is None else begins_late(transaction.isolation)
        if late is None:
            late = not self.remote.session_settings.one_snapshot
        return late and (self.begins if transaction is None else transaction.is_unsent and not transaction.failed)

    def may_defer(self, statement: Statement) -> bool:
        """Whether a statement may run outside of the transaction, where what it changes would not be undone with it."""
        changes = statement.changes
        return statement.kind is Kind.READ and self.defers_reads and not (changes or changes.until_end)

    def note_failed_read(self, error: psycopg2.Error) -> None:
        """Let the transaction of a read that failed on the replica fail, too, if it has not begun on the primary."""
        transaction = self.remote.transaction
        waits = self.begins if transaction is None else transaction.is_unsent
        if error.pgcode is None or self.closed or not waits:
            return
        self.begin_on_primary()
        if self.remote.transaction is not None:
            self.remote.transaction.status = ext.TRANSACTION_STATUS_INERROR

    def begin_on_primary(self) -> None:
        """Begin the transaction on the primary, as one of its reads has failed on the replica or has to run there."""
        raise NotImplementedError

    # Named cursors

    @property
    def declares_here(self) -> bool:
        """Whether a named cursor is declared on the replica although no transaction is open there.

        Behind a pooler, another session may have to answer for it.
        """
        return self.defers_reads and not (self.pooled or self.promoted)

    @property
    def _holds_implicitly(self) -> bool:  # type: ignore[override]  # a property
        return self.held_cursors is not None and self.begins

    def hold(self, cursor: Any) -> None:
        """Keep a cursor that was declared on the replica until the transaction ends."""
        self.has_declared = True
        if self.held_cursors is None:
            self.held_cursors = HeldCursors()
        transaction = self.remote.transaction
        self.held_cursors.add(cursor, () if transaction is None else transaction.savepoints)

    def noting_held(self, statement: Statement) -> AbstractContextManager[None]:
        """A block in which a statement runs that belongs to the transaction, and may end it."""
        return NOTHING_HELD if self.held_cursors is None else self._noting(self.held_cursors, statement)

    @contextmanager
    def _noting(self, held: HeldCursors, statement: Statement) -> Iterator[None]:
        before, failed = self.remote.transaction, self.has_failed
        try:
            yield
        except ReplicationTimeout:
            self._executed(held, statement, failed=failed)
            raise
        except BaseException:
            if before is not None and self.remote.transaction is None:
                self.end_held(committed=False)
            raise
        self._executed(held, statement, failed=failed)

    def _executed(self, held: HeldCursors, statement: Statement, *, failed: bool) -> None:
        if held.executed(self, statement, failed=failed):
            self.held_cursors = None

    def end_held(self, *, committed: bool) -> None:
        """Close the cursors that end with the transaction."""
        if self.held_cursors is not None:
            self.held_cursors.end(self, committed=committed)
            self.held_cursors = None

    def ending_held(self, *, commits: bool) -> AbstractContextManager[None]:
        """A block that ends the transaction, and the cursors with it."""
        return NOTHING_HELD if self.held_cursors is None else self._ending(commits=commits)

    @contextmanager
    def _ending(self, *, commits: bool) -> Iterator[None]:
        commits, committed = commits and not self.has_failed, False
        try:
            yield
            committed = commits
        except ReplicationTimeout:
            committed = commits
            raise
        finally:
            self.end_held(committed=committed)

    @property
    def has_failed(self) -> bool:
        """Whether the transaction on the primary has failed, so that it can only be rolled back."""
        transaction = self.remote.transaction
        return transaction is not None and transaction.failed
