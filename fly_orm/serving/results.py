"""Executes the statements of a request, and takes their result as the server sent it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg2 import extensions as ext

from ..protocol.messages import Column, Result, Run
from .copy_files import BrokenFile, CopyInput, CopyOutput


def execute(
    cursor: Any, request: Run, check: Callable[[int], None], pieces: CopyInput | CopyOutput | None = None
) -> Result | None:
    """The result of the last statement, with the row count of all; None if there are no statements.

    Raises what the driver raises for the first statement that fails. ``check`` is called with the number of each before
    it begins. ``pieces`` is the file of a COPY whose data travels in pieces.
    """
    if pieces is not None:
        check(0)
        return _copy_in_pieces(cursor, request, pieces)
    if request.copy_in is not None or request.broken_copy_in is not None or request.copy_out:
        check(0)
        return _copy(cursor, request)
    row_count = 0
    for number, statement in enumerate(request.statements):
        check(number)
        cursor.execute(statement)
        row_count = -1 if -1 in (row_count, cursor.rowcount) else row_count + cursor.rowcount
    if not request.statements:
        return None
    return _result(cursor, row_count if len(request.statements) > 1 else cursor.rowcount)


def _copy_in_pieces(cursor: Any, request: Run, file: CopyInput | CopyOutput) -> Result:
    cursor.copy_expert(request.statements[0], file)
    row_count, status = cursor.rowcount, cursor.statusmessage
    if isinstance(file, CopyInput):
        return Result(row_count=row_count, status_message=status)
    copied, sizes = file.rest()
    return Result(row_count=row_count, status_message=status, copied=copied, copied_sizes=sizes)


def _copy(cursor: Any, request: Run) -> Result:
    if request.copy_out:
        return _copy_out(cursor, request)
    broken = request.broken_copy_in
    file = io.BytesIO(request.copy_in or b"") if broken is None else BrokenFile(broken)
    cursor.copy_expert(request.statements[0], file)
    return Result(row_count=cursor.rowcount, status_message=cursor.statusmessage)


def _copy_out(cursor: Any, request: Run) -> Result:
    file = _Rows()
    cursor.copy_expert(request.statements[0], file)
    return Result(
        row_count=cursor.rowcount,
        status_message=cursor.statusmessage,
        copied=b"".join(file.rows),
        copied_sizes=list(map(len, file.rows)),
    )


class _Rows:
    """A file that keeps what is written to it."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.write = self.rows.append


def _result(cursor: Any, row_count: int) -> Result:
    columns = None if cursor.description is None else [_column(column) for column in cursor.description]
    rows = cursor.fetchall() if columns is not None else []
    return Result(
        columns=columns,
        data=_as_sent(cursor, columns or (), zip(*rows, strict=True)),
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


def _as_sent(cursor: Any, columns: Sequence[Column], data: Iterable[Sequence[Any]]) -> list[list[bytes | None]]:
    """The values, column by column, as the bytes that Postgres sent.

    psycopg2 decodes the values of types that it does not know, such as an extension's, before it can be told not to.
    They are encoded again, and arrive as bytes from then on.
    """
    string_types = cursor.connection.string_types
    unknown = {column.type_code for column in columns} - string_types.keys()
    if not unknown:
        return list(map(list, data))
    string_types.update(dict.fromkeys(unknown, ext.BYTES))
    encoding = ext.encodings[cursor.connection.encoding]
    return [
        [value.encode(encoding) if isinstance(value, str) else value for value in values]
        if column.type_code in unknown
        else list(values)
        for column, values in zip(columns, data, strict=False)
    ]
