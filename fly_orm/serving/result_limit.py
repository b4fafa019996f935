"""How long the result of a statement may be, and what becomes of one whose result is longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2
from psycopg2 import extensions as ext
from psycopg2.errorcodes import PROGRAM_LIMIT_EXCEEDED

from ..classify.long_results import may_have_returning, returns_much
from ..classify.role_changes import controls_transactions
from ..postgres.aborting import abort_transaction
from ..postgres.running_statement import RunningStatement
from ..postgres.sql_error import made_error
from ..protocol.messages import Run

_ADVICE = (
    "Fetch less at once: with LIMIT, a named cursor, or a function that works next to the primary. "
    "FLY_ORM_MAX_RESULT_BYTES of the node is the limit."
)
NO_EFFECT = "the statement has had no effect"
ENDED = "the node has ended its connection to the primary"
EXECUTED = "the statement was executed"


def too_long(most: int, became: str) -> psycopg2.Error:
    """The error for a statement whose result is too long. ``became`` says what that means for the statement."""
    message = f"the result is longer than {most} bytes; {became}"
    return made_error(PROGRAM_LIMIT_EXCEEDED, message, _ADVICE)


def writes_at_length(request: Run) -> bool:
    """Whether the only statement of a request writes and may return much, so that its result is looked at before its
    transaction commits.
    """
    if len(request.statements) != 1:
        return False
    statement = request.statements[0]
    if not (returns_much(statement) and may_have_returning(statement)):
        return False
    return not controls_transactions(statement.decode("utf-8", "replace"))


class ResultLimit:
    """The most bytes that the result of a statement may have on its way to the caller."""

    running: RunningStatement | None = None
    """What runs on the connection."""
    buffered = 16 * 1024
    """Bytes of the longest statement or result that the driver has held as a whole; at first, of libpq's buffers."""
    _rows = 0
    _is_writing = False

    def __init__(self, connection: Any, most: int) -> None:
        self._connection = connection
        self.most = most

    def note(self, size: int) -> None:
        """Note that the driver has held so many bytes as a whole."""
        self.buffered = max(self.buffered, size)

    def cancel(self) -> None:
        """Make a COPY end whose output is too long, and is not kept."""
        if (running := self.running) is not None:
            running.is_too_long = True
            running.cancel_soon()

    def progress(self) -> object:
        """Another value whenever a COPY has written a row, and while it waits to write one."""
        return object() if self._is_writing else self._rows

    def begin_row(self, size: int) -> None:
        """Note that a COPY begins to write a row of so many bytes."""
        self.note(size)
        self._is_writing = True

    def passed(self, size: int) -> None:
        """Note that so many bytes of a result have left the driver, which has held them as a whole."""
        self.note(size)
        self._rows += 1

    def end_row(self) -> None:
        """Note that the row is written."""
        self._rows += 1
        self._is_writing = False

    def cancelled(self) -> psycopg2.Error:
        """The error for a statement that was cancelled while its result arrived."""
        self.note(self.most)
        return too_long(self.most, NO_EFFECT)

    def exceeded(self) -> psycopg2.Error:
        """The error for a statement that has been executed. If a transaction is open, it fails, which undoes it."""
        open_ = self._connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE
        error = too_long(self.most, NO_EFFECT if open_ else EXECUTED)
        abort_transaction(self._connection, PROGRAM_LIMIT_EXCEEDED, str(error.diag.message_primary))
        return error


def size_of(values: Sequence[bytes | None]) -> int:
    """About how many bytes encode the values of a result: one percent more at most."""
    present: Sequence[Any] = [value for value in values if value is not None] if None in values else values
    size = len(values) + len(present) + sum(map(len, present))
    return size + 3 * (size // 256)
