"""A primary connection held for one caller, and what runs in it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg2
from psycopg2 import extensions as ext

from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..position import Position
from ..postgres.primary_connection import Ending, PrimaryConnection
from ..postgres.running_statement import CANCEL_TIMEOUT, RunningStatement
from ..postgres.sql_error import describe
from ..protocol.messages import Column, Done, Result, Run, SQLError

IDLE = ext.TRANSACTION_STATUS_IDLE
IN_TRANSACTION = ext.TRANSACTION_STATUS_INTRANS
IN_ERROR = ext.TRANSACTION_STATUS_INERROR

#: What a caller is told whose time was over; the statement has had no effect then.
_CANCELLED = (
    "canceling statement because its time is over; nothing of it was kept. "
    "Give it more with FLY_ORM_RPC_TIMEOUT or wrap(…, rpc_timeout=seconds)"
)


class ConnectionBroken(Exception):
    """The connection to the primary broke. ``undecided`` if something may have been committed just then."""

    def __init__(self, message: str, *, undecided: bool) -> None:
        super().__init__(message)
        self.undecided = undecided


class Lease:
    """Runs one caller's requests on one connection. One thread runs at a time; any thread may cancel."""

    def __init__(self, connection: PrimaryConnection, timer: Timer) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._timer = timer
        self._running: RunningStatement | None = None
        self._out_of_time = False

    def run(self, request: Run, deadline: Deadline) -> Done:
        """What came of the request; ConnectionBroken if the connection did not survive it."""
        self._out_of_time = False
        cursor = self._connection.cursor()
        try:
            result, error, ends = self._run_statements(cursor, request, deadline)
            notices = list(self._raw.notices)
            asked = request.wants_position and (request.commits or self.transaction == IDLE)
            position = self._position(ends) if asked else None
        except psycopg2.Error as broken:
            raise ConnectionBroken(str(broken), undecided=True) from broken
        return Done(
            result=result,
            error=error,
            notices=notices,
            transaction=self.transaction,
            lease_open=not self._raw.closed and (request.keeps_lease or self.transaction != IDLE),
            position=position,
            may_have_written=ends.wrote,
        )

    @property
    def transaction(self) -> int:
        """Libpq's transaction status."""
        status: int = self._raw.get_transaction_status()
        return status

    def cancel(self) -> None:
        """Cancel the statement that is running, if any. May be called from any thread."""
        if (running := self._running) is not None:
            running.cancel()

    def abandon(self) -> None:
        """Cancel what is running, and end its connection if that does not help. Returns at once."""
        if (running := self._running) is not None:
            running.cancel_soon()
            self._timer.call_later(CANCEL_TIMEOUT, running.break_off)

    def break_off(self) -> None:
        """End the connection if something is running on it."""
        if (running := self._running) is not None:
            running.break_off()

    def _run_statements(
        self, cursor: Any, request: Run, deadline: Deadline
    ) -> tuple[Result | None, SQLError | None, Ending]:
        undecided = self.transaction == IDLE and not request.preamble
        ending = Ending()
        try:
            with self._cancellable(None if request.commits else deadline.remaining()):
                for statement in request.preamble:
                    cursor.execute(statement)
                if request.commits and request.wants_position and self.transaction == IN_TRANSACTION:
                    ending = self._connection.ending()
                undecided = undecided or request.commits or request.ends_transaction
                return _results(cursor, request), None, ending
        except psycopg2.Error as error:
            if self._raw.closed and error.pgcode is None:
                raise ConnectionBroken(str(error), undecided=undecided) from error
            return None, self._describe(error), ending

    @contextmanager
    def _cancellable(self, timeout: float | None) -> Iterator[None]:
        """While in the block, statements can be cancelled, and are when the timeout (seconds) is over."""
        running = self._running = RunningStatement(self._raw)
        try:
            with self._timer.limit(timeout, lambda: self._cancel_late(running)):
                yield
        finally:
            self._running = None
            running.end()

    def _cancel_late(self, running: RunningStatement) -> None:
        if running is self._running:
            self._out_of_time = True
            running.cancel_soon()

    def _position(self, ending: Ending) -> Position | None:
        if self.transaction == IN_ERROR:
            return None  # of a COMMIT AND CHAIN that failed
        if not ending.wrote:
            return self._connection.position()
        return self._connection.commit_position(asynchronous=ending.asynchronous)

    def _describe(self, error: psycopg2.Error) -> SQLError:
        described = describe(error)
        if error.pgcode != "57014" or not self._out_of_time:
            return described
        diagnostics = {**described.diagnostics, "message_primary": _CANCELLED}
        return msgspec.structs.replace(described, message=_CANCELLED, diagnostics=diagnostics)


def _results(cursor: Any, request: Run) -> Result | None:
    """The result of the last statement; with several, its row count is that of all."""
    if request.copy_in is not None or request.copy_out:
        return _copy(cursor, request)
    total = 0
    for statement in request.statements:
        cursor.execute(statement)
        total += max(cursor.rowcount, 0)
    if not request.statements:
        return None
    return _result(cursor, total if len(request.statements) > 1 else cursor.rowcount)


def _copy(cursor: Any, request: Run) -> Result:
    file = io.BytesIO(request.copy_in or b"")
    cursor.copy_expert(request.statements[0], file)
    return Result(
        row_count=cursor.rowcount,
        status_message=cursor.statusmessage,
        copied=file.getvalue() if request.copy_out else None,
    )


def _result(cursor: Any, row_count: int) -> Result:
    """The last statement's result, its values column by column."""
    columns = None if cursor.description is None else [_column(column) for column in cursor.description]
    rows = cursor.fetchall() if columns is not None else []
    return Result(
        columns=columns,
        data=_as_bytes(cursor, columns or (), zip(*rows, strict=True)),
        rows=len(rows),
        row_count=row_count,
        status_message=cursor.statusmessage,
        last_row_id=cursor.lastrowid,
    )


def _column(column: Any) -> Column:
    return Column(
        name=column.name,
        type_code=column.type_code,
        internal_size=column.internal_size,
        precision=column.precision,
        scale=column.scale,
        table_oid=column.table_oid,
        table_column=column.table_column,
    )


def _as_bytes(cursor: Any, columns: Sequence[Column], data: Iterable[Sequence[Any]]) -> list[list[bytes | None]]:
    """The values as Postgres sent them: those of types that the driver has never heard of arrive decoded."""
    string_types = cursor.connection.string_types
    unheard = {column.type_code for column in columns} - string_types.keys()
    if not unheard:
        return list(map(list, data))
    string_types.update(dict.fromkeys(unheard, ext.BYTES))  # from now on
    encoding = ext.encodings[cursor.connection.encoding]
    return [
        [value.encode(encoding) if isinstance(value, str) else value for value in values]
        if column.type_code in unheard
        else list(values)
        for column, values in zip(columns, data, strict=False)
    ]
