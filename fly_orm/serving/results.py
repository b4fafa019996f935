"""Executes the statements of a request, and takes their result as the server sent it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Any

from psycopg2 import extensions as ext

from ..postgres.notices import kept_as_they_come
from ..protocol.messages import Column, Result, Run
from .copy_files import BrokenFile, CopyInput, CopyOutput
from .result_limit import ResultLimit, size_of
from .result_pieces import in_pieces, stream_of
from .steps import Steps

#: How many rows are taken at a time. To take them holds the interpreter.
_BATCH = 5000
#: The attributes of psycopg2's description of a column that a reply has.
_COLUMN = attrgetter(*Column.__struct_fields__)
_TYPE = attrgetter("type_code")
#: What a reply takes for a row of COPY … TO STDOUT, besides its data.
_ROW_BYTES = 5


def execute(
    cursor: Any,
    request: Run,
    check: Callable[[int], None],
    pieces: CopyInput | CopyOutput | None,
    limit: ResultLimit,
) -> Steps[Result | None]:
    """The result of the last statement, with the row count of all; None if there are no statements.

    If it is long, and its caller accepts that, its first pieces are yielded. Raises what the driver raises for the
    first statement that fails, or the error of ``limit``. ``check`` is called with the number of each before it begins.
    ``pieces`` is the file of a COPY whose data travels in pieces.
    """
    if pieces is not None:
        check(0)
        return _copy_in_pieces(cursor, request, pieces, limit)
    if request.copy_in is not None or request.broken_copy_in is not None or request.copy_out:
        check(0)
        return _copy(cursor, request, limit)
    if (stream := stream_of(cursor, request)) is not None:
        check(0)
        limit.note(len(request.statements[0]))
        return (yield from in_pieces(stream, request, limit))
    row_count = 0
    for number, statement in enumerate(request.statements):
        check(number)
        limit.note(len(statement))
        cursor.execute(statement)
        row_count = -1 if -1 in (row_count, cursor.rowcount) else row_count + cursor.rowcount
    if not request.statements:
        return None
    result = result_of(cursor, row_count if len(request.statements) > 1 else cursor.rowcount, limit)
    cursor.close()  # libpq's copy of the result must not stay until the reply has been encoded
    return result


def execute_one(cursor: Any, statement: bytes, limit: ResultLimit) -> Result:
    """The result of a statement as a whole; see :func:`execute`."""
    if len(statement) > limit.buffered:
        limit.note(len(statement))
    cursor.execute(statement)
    result = result_of(cursor, cursor.rowcount, limit)
    cursor.close()  # libpq's copy of the result must not stay until the reply has been encoded
    return result


def _copy_in_pieces(cursor: Any, request: Run, file: CopyInput | CopyOutput, limit: ResultLimit) -> Result:
    _run_copy(cursor, request, file if isinstance(file, CopyInput) else _Noted(file, limit))
    row_count, status = cursor.rowcount, cursor.statusmessage
    if isinstance(file, CopyInput):
        return Result(row_count=row_count, status_message=status)
    copied, sizes = file.rest()
    return Result(row_count=row_count, status_message=status, copied=copied, copied_sizes=sizes)


def _copy(cursor: Any, request: Run, limit: ResultLimit) -> Result:
    if request.copy_out:
        return _copy_out(cursor, request, limit)
    broken = request.broken_copy_in
    file = io.BytesIO(request.copy_in or b"") if broken is None else BrokenFile(broken)
    _run_copy(cursor, request, file)
    return Result(row_count=cursor.rowcount, status_message=cursor.statusmessage)


def _copy_out(cursor: Any, request: Run, limit: ResultLimit) -> Result:
    file = _Rows(limit)
    _run_copy(cursor, request, _Noted(file, limit))
    if file.left < 0:
        raise limit.exceeded()
    return Result(
        row_count=cursor.rowcount,
        status_message=cursor.statusmessage,
        copied=b"".join(file.rows),
        copied_sizes=list(map(len, file.rows)),
    )


def _run_copy(cursor: Any, request: Run, file: Any) -> None:
    with kept_as_they_come(cursor.connection):
        cursor.copy_expert(request.statements[0], file)


class _Noted:
    """A file that passes rows on, and notes that it does, so that it is each row that is limited, and not their sum."""

    def __init__(self, file: _Rows | CopyOutput, limit: ResultLimit) -> None:
        self._file = file
        self._limit = limit

    def write(self, row: bytes) -> None:
        self._limit.begin_row(len(row))
        try:
            self._file.write(row)
        finally:
            self._limit.end_row()


class _Rows:
    """A file that keeps what is written to it, up to the limit."""

    def __init__(self, limit: ResultLimit) -> None:
        self.rows: list[bytes] = []
        self.left = limit.most
        """How many bytes there is room for; less than none once the limit was exceeded."""
        self._limit = limit

    def write(self, row: bytes) -> None:
        """Keep the row. One that is too long is dropped, like those that the server sends before it has cancelled."""
        if self.left < 0:
            return
        self.left -= len(row) + _ROW_BYTES
        if self.left >= 0:
            self.rows.append(row)
        else:
            self.rows.clear()
            self._limit.cancel()


def result_of(cursor: Any, row_count: int, limit: ResultLimit) -> Result:
    """The result of the cursor's last statement, with this row count. Raises the error of ``limit``."""
    if (description := cursor.description) is None:
        columns, rows, data = None, 0, list[Any]()
    else:
        columns = [*starmap(Column, map(_COLUMN, description))]
        rows, data = _fetch(cursor, limit)
        known = cursor.connection.string_types
        if not all(map(known.__contains__, map(_TYPE, columns))):
            data = _as_sent(cursor, columns, data)
    return Result(
        columns=columns,
        data=data,
        rows=rows,
        row_count=row_count,
        status_message=cursor.statusmessage,
        last_row_id=cursor.lastrowid,
    )


def _fetch(cursor: Any, limit: ResultLimit) -> tuple[int, list[list[Any]]]:
    """The number of rows, and their values, column by column. Rows take three times as much memory as their values."""
    count = size = 0
    data: list[list[Any]] = []
    while rows := cursor.fetchmany(_BATCH):
        count += len(rows)
        batch = [*map(list, zip(*rows, strict=True))]
        size += sum(map(size_of, batch))
        if size > limit.buffered:
            limit.note(size)
        if size > limit.most:
            raise limit.exceeded()
        for column, values in zip(data, batch, strict=False):
            column += values
        data = data or batch
        if len(rows) < _BATCH:
            break
    return count, data


def _as_sent(cursor: Any, columns: Sequence[Column], data: list[list[Any]]) -> list[list[Any]]:
    """The values, column by column, as the bytes that Postgres sent, where types are not known to the connection.

    psycopg2 decodes the values of types that it does not know, such as an extension's, before it can be told not to.
    They are encoded again, and arrive as bytes from then on.
    """
    string_types = cursor.connection.string_types
    unknown = {column.type_code for column in columns} - string_types.keys()
    string_types.update(dict.fromkeys(unknown, ext.BYTES))
    encoding = ext.encodings[cursor.connection.encoding]
    return [
        [value.encode(encoding) if isinstance(value, str) else value for value in values]
        if column.type_code in unknown
        else list(values)
        for column, values in zip(columns, data, strict=False)
    ]
