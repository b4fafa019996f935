"""A result that travels in pieces, since it is long: the node reads no further than its caller has asked."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ..postgres.notices import kept_as_they_come
from ..postgres.role_guard import GuardedCursor
from ..postgres.row_stream import RowStream
from ..protocol.copying import PIECE_BYTES
from ..protocol.encoding import encode
from ..protocol.messages import Copying, Result, Run
from ..protocol.results import Values
from .result_limit import ResultLimit, size_of
from .steps import Steps

#: The most memory that the values of a piece take before they are encoded: each takes some besides its bytes, so that
#: short ones take twenty times their length.
_HELD_BYTES, _VALUE_BYTES = 8 * 2**20, 48
#: What a message has besides a row.
_ENVELOPE_BYTES = 1024


def stream_of(cursor: Any, request: Run) -> RowStream | None:
    """The stream to take the result of a request from; None if the driver has to take it as a whole.

    The driver does if its cursor has to look at the session behind the statement.
    """
    if not request.piece_bytes or len(request.statements) != 1:
        return None
    if isinstance(cursor, GuardedCursor) and cursor.is_guarded(request.statements[0]):
        return None
    return RowStream.on(cursor.connection)


def in_pieces(stream: RowStream, request: Run, limit: ResultLimit) -> Steps[Result]:
    """The pieces of the result of the only statement, and then the rest of it with all that there is to say of it.

    Raises what the driver raises, or the error of ``limit`` for a row that is too long.
    """
    most = min(request.piece_bytes, PIECE_BYTES, limit.most)
    data: Values = []
    size = rows = before = 0
    dropped = False
    with kept_as_they_come(stream.connection), closing(stream.batches(request.statements[0])) as batches:
        for batch in batches:
            if stream.rows == batch.rows:  # the first of another statement in the string
                data, size, rows, before = [], 0, 0, 0
            added = sum(map(size_of, batch.columns))
            limit.passed(added)
            if dropped or (batch.rows == 1 and added > limit.most - _ENVELOPE_BYTES):
                dropped = True
                limit.cancel()
                continue
            held = sum(map(len, data)) * _VALUE_BYTES
            if rows and (size + added > most or size + held > _HELD_BYTES):
                yield Copying(data=encode(data), rows=rows)
                before += rows
                data, size, rows = [], 0, 0
            size, rows = size + added, rows + batch.rows
            for column, values in zip(data, batch.columns, strict=False):
                column += values
            data = data or batch.columns
    if dropped:
        raise limit.exceeded()
    if not stream.rows:
        data, before = [], 0
    return Result(
        columns=stream.columns,
        data=data,
        rows=stream.rows - before,
        rows_before=before,
        row_count=stream.row_count,
        status_message=stream.status_message,
    )
