"""The transactions that the DB-API begins by itself, on the replica or on the primary (PEP 249, Connection.commit)."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..classify.session_change import NOTHING
from ..forwarding.replied import after_reply
from ..routing.decide import Action, State, decide
from ..routing.remote_connection import RemoteConnection
from ..routing.router import Router
from ..routing.session_following import follow_here
from .modes import ConnectionModes

_COMMIT = Statement(kind=Kind.COMMIT, why="COMMIT", simple=True)
_ROLLBACK = Statement(kind=Kind.ROLLBACK, why="ROLLBACK", simple=True)


class ImplicitTransactions(ConnectionModes):
    """Begins a transaction with the first statement after ``commit()`` or ``rollback()``, where it belongs.

    The C half of the connection is in autocommit, except while a transaction is open on the replica that was begun
    here: psycopg2 declares a cursor only in a transaction that its C half has begun. All other transactions are begun
    by SQL.
    """

    router: Router
    remote: RemoteConnection
    defers_transactions = False
    """Whether an implicit transaction begins only with the first statement that needs the primary."""
    _entered: bool
    """Whether the connection is inside ``with connection:``, where autocommit does not count."""
    _was_here: bool
    _set_here: list[tuple[Statement, bytes]]
    """Settings changed by the open transaction on the replica."""
    changes_here = NOTHING
    """What else it may have changed in the Postgres session there."""

    @property
    def begins(self) -> bool:
        """Whether the next statement begins a transaction."""
        return (not self._mode.autocommit or self._entered) and not self._begun

    @property
    def defers_reads(self) -> bool:
        """Whether reads run outside of the implicit transaction, of which nothing has been sent yet.

        One that reads a single snapshot has to begin with its first read.
        """
        if not self.defers_transactions or self._mode.reads_one_snapshot(self.remote.session_settings.one_snapshot):
            return False
        transaction = self.remote.transaction
        return self.begins or (self._begun and transaction is not None and transaction.is_unsent)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, here or on the primary."""
        return self._begun or self.remote.transaction is not None or self._transaction_here

    def commit(self) -> None:
        self._check_open()
        self._end(_COMMIT, "COMMIT")

    def rollback(self) -> None:
        self._check_open()
        self._end(_ROLLBACK, "ROLLBACK")

    def __enter__(self) -> Any:
        self._check_open()
        if self._entered:
            raise psycopg2.ProgrammingError("the connection cannot be re-entered recursively")
        self._entered = True
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            self.commit() if kind is None else self.rollback()
        finally:
            self._entered = False

    def settle(self, statement: Statement, sql: bytes, status_message: str | None) -> None:
        """Keep the settings that a transaction on the replica has changed when it commits; forget them otherwise."""
        if statement.kind is Kind.SET:
            self._set_here.append((statement, sql))
        elif not self._transaction_here:
            settings, self._set_here = self._set_here, []
            changes, self.changes_here = self.changes_here, NOTHING
            with after_reply("keep the primary's session settings in step"):
                for setting in settings if status_message == "COMMIT" else ():
                    self.remote.session_settings.remember(*setting)
                follow_here(self, changes)

    @property
    def _transaction_here(self) -> bool:
        """Whether a transaction is open on the replica.

        While another thread's statement is running on the connection, libpq cannot tell: then what was known last.
        """
        status = super().get_transaction_status()
        if status != ext.TRANSACTION_STATUS_ACTIVE:
            self._was_here = status in (ext.TRANSACTION_STATUS_INTRANS, ext.TRANSACTION_STATUS_INERROR)
        return self._was_here

    def _state(self) -> State:
        raise NotImplementedError

    @property
    def _implicit_begin(self) -> Statement:
        """The BEGIN that the next statement implies."""
        return Statement(kind=Kind.BEGIN, why="BEGIN", simple=True, read_only=self._mode.replica_serves)

    def _begin_implicitly(self) -> None:
        self._begun = True
        if self.remote.transaction is not None:
            # The caller has begun one by SQL. The server warns of a second BEGIN, as it does without us.
            self.remote.transaction.pending.append(self._mode.begin.encode())
            return
        if decide(self._implicit_begin, self._state()).action in (Action.BEGIN_HERE, Action.HERE):
            set_c_autocommit(self, False)
            if self._mode.set_transaction:
                with ext.cursor(self) as cursor:
                    cursor.execute(self._mode.set_transaction)
        else:
            with self.remote.lock:
                self.remote.begin(self._mode.begin.encode())

    def _end(self, statement: Statement, sql: str) -> None:
        """End the transaction that was begun implicitly. It is over even if this raises, as with psycopg2."""
        begun, self._begun = self._begun, False
        if not begun:
            return
        if self.remote.transaction is None:
            self._end_here(statement, sql)
            return
        if not _c_autocommit(self):
            # The C half has begun a transaction, which the caller has ended by SQL before beginning this one.
            kept, self.notices = self.notices, []  # without the warning that there is no transaction
            try:
                self._end_c(statement)
            finally:
                self.notices = kept
        end = self.remote.commit if statement is _COMMIT else self.remote.rollback
        with self.remote.lock:
            forwarded = end(sql.encode(), statement)
        self.router.raise_if_late(forwarded.waited, None)

    def _end_here(self, statement: Statement, sql: str) -> None:
        if _c_autocommit(self):  # the caller has ended it by SQL; the server warns of this one, as it does without us
            with ext.cursor(self) as cursor:
                cursor.execute(sql)
            return
        failed = super().get_transaction_status() == ext.TRANSACTION_STATUS_INERROR
        self._end_c(statement)
        self.settle(statement, sql.encode(), "ROLLBACK" if failed else sql)

    def _end_c(self, statement: Statement) -> None:
        try:
            super().commit() if statement is _COMMIT else super().rollback()
        finally:
            if not self.closed:
                set_c_autocommit(self, True)


def _c_autocommit(connection: ext.connection) -> bool:
    """Whether the C half is in autocommit, which :attr:`ConnectionModes.autocommit` hides."""
    return bool(ext.connection.autocommit.__get__(connection))  # type: ignore[attr-defined]  # a C descriptor


def set_c_autocommit(connection: ext.connection, value: bool) -> None:
    """Switch autocommit of the C half."""
    ext.connection.autocommit.__set__(connection, value)  # type: ignore[attr-defined]  # a C descriptor
