"""The transactions that the DB-API begins by itself, on the replica or on the primary (PEP 249, Connection.commit)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import ENDS, Kind, Statement
from ..routing.decide import Action, Decision, State, decide
from ..routing.recording import COMMIT
from ..routing.router import Router
from ..routing.session_following import follow_here, note_here, took_locks
from ..sessions.operation import Operation, current_operation
from . import observed
from .deferring import NOTHING_HELD, DeferredTransactions
from .operating import operating
from .transaction_here import TransactionHere, begin_again_on_primary, chained, may_leave, move_to_primary

_ROLLBACK = Statement(kind=Kind.ROLLBACK, why="ROLLBACK", simple=True)


class ImplicitTransactions(DeferredTransactions):
    """Begins a transaction with the first statement after ``commit()`` or ``rollback()``, where it belongs.

    The C half of the connection is in autocommit, except while a transaction is open on the replica that was begun
    here: psycopg2 declares a cursor only in a transaction that its C half has begun. All other transactions are begun
    by SQL.
    """

    router: Router
    operation: Operation | None = None
    """The operation that the transaction on a promoted server is, if it has taken the key of one."""
    _was_here: bool
    transaction_here: TransactionHere | None = None
    """That transaction, or the last one."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, here or on the primary."""
        return self._begun or self.remote.transaction is not None or self._transaction_here

    @property
    def is_over(self) -> bool:
        """Whether a statement has ended the transaction that psycopg2 has begun, so that none is open."""
        return self._begun and self.remote.transaction is None and not self._transaction_here

    @property
    def transaction_thread(self) -> int | None:
        """The thread that has begun the transaction which is open."""
        transaction = self.remote.transaction or self.transaction_here
        return None if transaction is None else transaction.thread

    def operating_here(
        self, statement: Statement, cursor: Any, query: Any, rows: Iterable[Any]
    ) -> AbstractContextManager[None]:
        """A block in which a statement runs on the local server, which may have been promoted and take operations.

        It runs once for each of the ``rows``, which are its parameters.
        """
        operation = current_operation()
        if operation is None or not self.promoted:
            return nullcontext()
        return operating(self, statement, operation, lambda: [cursor.mogrify(query, row) for row in rows])

    def commit(self) -> None:
        self._check_open()
        self._end(COMMIT, "COMMIT")

    def rollback(self) -> None:
        self._check_open()
        self._end(_ROLLBACK, "ROLLBACK")

    @property
    def can_commit_early(self) -> bool:
        """Whether ``commit()`` would do nothing but end the transaction on the primary that was begun implicitly."""
        return self._begun and self.remote.transaction is not None and _c_autocommit(self)

    def note_commit(self) -> None:
        """Note that the COMMIT has been sent already: ``commit()`` and ``rollback()`` have nothing to do."""
        self._begun = False

    def __enter__(self) -> Any:
        self._check_open()
        if self.entered:
            raise psycopg2.ProgrammingError("the connection cannot be re-entered recursively")
        self.entered = True
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            self.commit() if kind is None else self.rollback()
        finally:
            self.entered = False

    def executed_here(self, statement: Statement, cursor: Any, *, begins: bool) -> bool:
        """Keep track of a transaction on the replica; False if it has to go on on the primary, with this statement.

        That is so if a function has taken locks, which are released here.
        """
        if begins:
            self.transaction_here = TransactionHere(cursor.query, statement.command_tag)
            return True
        if (here := self.transaction_here) is not None and self._transaction_here:
            if statement.kind in ENDS:
                self.transaction_here = chained(self)
            else:
                if took_locks(self, statement.changes) and move_to_primary(self):
                    return False
                here.executed(statement, None if cursor.name else cursor.query)
        self.settle(statement)
        return True

    def left_to_write(self, statement: Statement) -> bool:
        """Whether the transaction goes on on the primary, since the replica has refused the mode that it was to have.

        It was to be READ WRITE or SERIALIZABLE. A replica refuses that only after it has checked that no query has run
        (check_transaction_read_only in Postgres' variable.c), so that nothing that was read here can change.
        """
        return statement.primary_only and self._transaction_here and begin_again_on_primary(self)

    def route_untracked(self, statement: Statement) -> Decision:
        """As :meth:`route`, for a method that does not call :meth:`executed_here`."""
        here = self.transaction_here if self._transaction_here else None
        if here is not None and statement.changes.anything:
            statement = replace(statement, locks=True)  # nobody would look whether it has taken any
        decision = self.route(statement)
        if decision.action is Action.HERE and here is not None:
            here.executed(statement)
        return decision

    def begin_on_primary(self) -> None:
        if self.held_cursors is not None:
            self.held_cursors.watch()
        if self.begins:
            self._begin_implicitly()

    def followed(self, statement: Statement) -> bool:
        """Whether both sessions have what a read has changed here; False if it has to run again on the primary."""
        if follow_here(self, statement.changes):
            return True
        self.begin_on_primary()
        return False

    def decide_after_move(self, statement: Statement) -> Decision:
        """What to do with a statement that the transaction on the replica has to move to the primary for."""
        if not (statement.counts_on_primary or may_leave(self)):
            return Decision(action=Action.HERE, why="in a read-only transaction")  # it may do what is refused here
        if move_to_primary(self):
            return decide(statement, self._state())
        return Decision(action=Action.HERE, why="the transaction has failed")

    def leave_primary(self) -> None:
        """End the session on the primary if it has state, such as a lock, and no transaction is open there."""
        if self.remote.has_state and self.remote.transaction is None:
            with self.remote.lock:
                self.remote.end()

    def leave_transaction_here(self) -> None:
        """Roll back the transaction on the replica, which goes on on the primary."""
        self.transaction_here = None
        if _c_autocommit(self):
            with ext.cursor(self) as cursor:
                cursor.execute("ROLLBACK")
        else:
            self._end_c(_ROLLBACK)

    def settle(self, statement: Statement) -> None:
        """Note what a statement that the replica has executed may have changed in the session there."""
        if not self.promoted:
            note_here(self, statement, in_transaction=self._transaction_here)

    @property
    def _transaction_here(self) -> bool:
        """Whether a transaction is open on the replica.

        While another thread's statement is running on the connection, libpq cannot tell: then what was known last.
        """
        status = super().get_transaction_status()
        if status != ext.TRANSACTION_STATUS_ACTIVE:
            self._was_here = status in (ext.TRANSACTION_STATUS_INTRANS, ext.TRANSACTION_STATUS_INERROR)
        return self._was_here

    def route(self, statement: Statement) -> Decision:
        """Do what has to precede a statement, and decide what to do with it."""
        raise NotImplementedError

    def _state(self) -> State:
        raise NotImplementedError

    @property
    def _implicit_begin(self) -> Statement:
        """The BEGIN that the next statement implies."""
        return Statement(kind=Kind.BEGIN, why="BEGIN", simple=True, read_only=self.mode.replica_serves)

    def _begin_implicitly(self) -> None:
        self._begun = True
        if self.remote.transaction is not None:
            # The caller has begun one by SQL. The server warns of a second BEGIN, as it does without us.
            self.remote.transaction.pending.append(self.mode.begin.encode())
            return
        if decide(self._implicit_begin, self._state()).action in (Action.BEGIN_HERE, Action.HERE):
            set_c_autocommit(self, False)
            self.transaction_here = TransactionHere(self.mode.begin.encode())
            if self.mode.set_transaction:
                with ext.cursor(self) as cursor:
                    cursor.execute(self.mode.set_transaction)
        else:
            with self.remote.lock:
                self.remote.begin(self.mode.begin.encode(), isolation=self.mode.isolation)

    def _end(self, statement: Statement, sql: str) -> None:
        """End the transaction that was begun implicitly. It is over even if this raises, as with psycopg2.

        While another thread is ending it, this waits for that, as psycopg2 does.
        """
        with self.remote.lock:
            self._end_implicit(statement, sql)

    def _end_implicit(self, statement: Statement, sql: str) -> None:
        implicit, begun, self._begun = self._begun or self.begins, self._begun, False
        try:
            self.ends += 1
            with self.ending_held(commits=statement is COMMIT) if implicit else NOTHING_HELD:
                if begun:
                    with observed.end(self, sql):
                        self._end_begun(statement, sql)
        except BaseException:
            if begun and self.remote.transaction is not None:  # an interrupt, before its end was sent
                self.remote.abandon()
            elif begun and not self.closed and self.info.transaction_status != ext.TRANSACTION_STATUS_IDLE:
                self._begun = True  # the same, here
            raise

    def _end_begun(self, statement: Statement, sql: str) -> None:
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
        end = self.remote.commit if statement is COMMIT else self.remote.rollback
        with self.remote.lock:
            forwarded = end(sql.encode(), statement)
        self.router.raise_if_late(forwarded.waited, None)

    def _end_here(self, statement: Statement, sql: str) -> None:
        if _c_autocommit(self):  # the caller has ended it by SQL; the server warns of this one, as it does without us
            with ext.cursor(self) as cursor:
                cursor.execute(sql)
            return
        self._end_c(statement)
        self.settle(statement)

    def _end_c(self, statement: Statement) -> None:
        try:
            super().commit() if statement is COMMIT else super().rollback()
        finally:
            if not self.closed:
                set_c_autocommit(self, True)


def _c_autocommit(connection: ext.connection) -> bool:
    """Whether the C half is in autocommit, which :attr:`ConnectionModes.autocommit` hides."""
    return bool(ext.connection.autocommit.__get__(connection))  # type: ignore[attr-defined]  # a C descriptor


def set_c_autocommit(connection: ext.connection, value: bool) -> None:
    """Switch autocommit of the C half."""
    ext.connection.autocommit.__set__(connection, value)  # type: ignore[attr-defined]  # a C descriptor


@contextmanager
def in_autocommit(connection: ext.connection) -> Iterator[None]:
    """A block after which the C half of a connection, which is not in a transaction, is in none either.

    It is for queries: what the block changes may be rolled back.
    """
    autocommit = connection.autocommit
    set_c_autocommit(connection, True)
    try:
        yield
    finally:
        if not connection.closed:
            if connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
                ext.connection.rollback(connection)  # in ``with connection:``, psycopg2 has begun one all the same
            set_c_autocommit(connection, autocommit)
