"""Executes requests that the ledger records, in the same transaction."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as ext
from psycopg2.errorcodes import ACTIVE_SQL_TRANSACTION, INVALID_TRANSACTION_TERMINATION, QUERY_CANCELED

from ..errors import Refused
from ..ledger import entries, table
from ..postgres.cursors import execute as run
from ..postgres.cursors import recent_notices
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.sql_error import describe
from ..postgres.write_ahead_log import STATE, Commit
from ..protocol import reasons
from ..protocol.encoding import decode_reply, encode
from ..protocol.messages import Done, OpenTransaction, Record, Result, Run, SQLError
from .copy_files import CopyInput, CopyOutput
from .result_limit import ResultLimit
from .results import execute
from .steps import Steps, uncommitted

#: What statements raise that cannot run in a transaction block, or that end one.
_ALONE = (ACTIVE_SQL_TRANSACTION, INVALID_TRANSACTION_TERMINATION)
_COMMITTED = Result(status_message="COMMIT")
#: A COMMIT that begins no other transaction.
_COMMIT = re.compile(rb"\s*commit\s*;?\s*", re.IGNORECASE)


class Executed(msgspec.Struct, frozen=True):
    """What became of the statements of a request."""

    result: Result | None = None
    error: SQLError | None = None
    commit: Commit = Commit()
    opened: OpenTransaction | None = None
    """The transaction that is open, if its caller wants to know."""
    notices: list[str] | None = None
    """The notices, if they are not the last ones of the connection."""
    state: str | None = None
    """The state of the write-ahead log, if it was asked for together with the COMMIT."""
    unrecorded: bool = False
    """Whether nothing was executed, because it cannot be recorded."""
    results: list[Result] | None = None
    """Those of the statements of a batch."""


class RecordedRequest:
    """A request whose outcome is written to the ledger. The connection is in autocommit."""

    def __init__(
        self,
        connection: PrimaryConnection,
        request: Run,
        record: Record,
        limit: ResultLimit,
        on_commit: Callable[[], None],
    ) -> None:
        """``on_commit`` is called before a COMMIT that the caller has not asked for."""
        self._connection = connection
        self._raw = connection.raw
        self._request = request
        self._record = record
        self._limit = limit
        self._on_commit = on_commit
        self._ends_lease = not request.keeps_lease and request.watch is None
        """Whether the session can be cleaned together with the COMMIT."""
        self._number = 0
        """How many statements have been executed before the one that is running."""
        self.committing = False
        """Whether the COMMIT has been sent, and nobody knows yet what became of it."""

    def begin(self, sql: bytes) -> None:
        """Begin the caller's transaction with this statement, and take the key of its operation.

        Refused if the operation was committed before.
        """
        if not self._begin(sql):
            entries.of_operation(self._raw, self._record)
            raise Refused("the operation was committed before", reason=reasons.COMMITTED_BEFORE)

    def records(self, commit: Commit) -> bool:
        """Whether the COMMIT of the caller's transaction is recorded, as it may have written something."""
        return commit.wrote or (self._record.writes and not commit.read_only)

    def commit(self, sql: bytes, commit: Commit, reply: bytes | None = None) -> Executed:
        """Commit the caller's transaction with this statement, and keep the encoded reply."""
        state = self._commit(entries.note(self._record, reply, wrote=True), sql)
        return Executed(_COMMITTED, commit=replace(commit, wrote=True), state=state)

    def run(
        self, cursor: Any, check: Callable[[int], None], pieces: CopyInput | CopyOutput | None = None
    ) -> Steps[Executed]:
        """Execute the statements outside of the caller's transactions, and so in one of their own.

        If one of several fails, those before it are committed, as they would be by themselves. ``check`` is called with
        the number of each before it begins. ``pieces`` is the file of a COPY whose data travels in pieces.
        """
        request, error = self._request, None
        is_single = len(request.statements) == 1 and pieces is None
        while self._begin(b"BEGIN"):
            self._number = 0
            try:
                steps = execute(cursor, request, partial(self._next, check), pieces, self._limit)
                result = yield from uncommitted(steps)
            except psycopg2.Error as failure:
                if self._raw.closed:
                    raise
                run(self._raw, "ROLLBACK")
                if failure.pgcode in _ALONE and is_single:
                    return Executed(unrecorded=True)
                if not self._number or failure.pgcode == QUERY_CANCELED:
                    raise
                before = request.statements[: self._number]
                error, request = describe(failure), msgspec.structs.replace(request, statements=before)
            else:
                if pieces is None:  # whose time is another one
                    check(0)  # before the COMMIT, since this process may have been stopped meanwhile
                notices = recent_notices(self._raw)
                result = None if error else result
                self._on_commit()
                reply = None if _is_long(result) else encode(Done(result=result, error=error, notices=notices))
                try:
                    state = self._commit(entries.note(self._record, reply, wrote=self._record.writes), b"COMMIT")
                except errors.ReadOnlySqlTransaction:  # the session's transactions are READ ONLY
                    if not is_single:
                        raise
                    return Executed(unrecorded=True)
                return Executed(result, error, notices=notices, state=state)
        return self._earlier()

    def _next(self, check: Callable[[int], None], number: int) -> None:
        check(number)
        self._number = number

    def _begin(self, sql: bytes) -> bool:
        """Begin a transaction; False, and none is open, if the key of the operation is taken."""
        if not self._connection.has_ledger:
            table.check_exists(self._raw)
            self._connection.has_ledger = True
        if not self._record.operation:
            run(self._raw, sql)
            return True
        try:
            run(self._raw, sql + b"\n;" + entries.claim(self._record))
        except psycopg2.Error as error:
            if self._raw.closed:
                raise
            run(self._raw, "ROLLBACK")
            if table.concerns(error):
                return False
            table.check_usable(error)
            raise
        return True

    def _commit(self, note: bytes, sql: bytes) -> str | None:
        """Write the row and commit, in one string with the question for the position, whose answer this returns."""
        wants = self._request.wants_position
        self.committing = True
        try:
            if wants and self._ends_lease and _COMMIT.fullmatch(sql) is not None:
                state = self._connection.clean_at_once(note + b"\n;" + sql)
                if state is not None:
                    return state
            with self._raw.cursor() as cursor:
                cursor.execute(b"; ".join([note, sql, *([STATE] if wants else [])]))
                return cursor.fetchone()[0].decode() if wants else None
        except psycopg2.Error as error:
            if self._raw.closed:
                raise
            if self._raw.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
                run(self._raw, "ROLLBACK")
            elif entries.settle(self._raw, self._record.id).executed:
                # The question has failed, and not the COMMIT. Looking for the row would not tell: the transaction may
                # have changed its role, so that this one must not see it.
                return None
            self.committing = False
            if table.concerns(error):
                raise Refused(
                    "the caller was told before that this request will not run", reason=reasons.VOIDED
                ) from error
            table.check_usable(error)
            raise

    def _earlier(self) -> Executed:
        """What the operation has returned that was committed before with the same key."""
        entry = entries.of_operation(self._raw, self._record)
        done = None if entry.reply is None else decode_reply(entry.reply)
        if not isinstance(done, Done):
            raise Refused(
                "the operation was executed before, and its result was not stored", reason=reasons.RESULT_LOST
            )
        return Executed(done.result, done.error, notices=done.notices)


def begin(cursor: Any, request: Run, recorded: RecordedRequest | None, transaction: int) -> None:
    """Execute what precedes the statements: BEGIN and savepoints. ``transaction`` is libpq's status before."""
    preamble = request.preamble
    if recorded is not None and preamble and not request.commits and transaction == ext.TRANSACTION_STATUS_IDLE:
        recorded.begin(preamble[0])
        preamble = preamble[1:]
    for statement in preamble:
        cursor.execute(statement)


def _is_long(result: Result | None) -> bool:
    """Whether a result is certainly too long for the ledger, so that it need not be encoded."""
    if result is None:
        return False
    columns = result.data
    return (
        result.rows_before > 0
        or sum(len(value) for column in columns for value in column if value) > entries.MOST_STORED_BYTES
    )
