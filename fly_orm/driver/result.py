"""A result of the primary, cast by the caller's own psycopg2 when it is fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any

from psycopg2 import extensions as ext

from ..protocol.messages import Column, Result
from ..protocol.results import Values
from .result_pieces import PiecedRows, Rows


class RemoteResult:
    """The rows of a result, and how far they have been fetched."""

    def __init__(self, result: Result, query: bytes | None, cursor: Any) -> None:
        """``cursor`` is the one to show it, whose typecasters count."""
        self.query = query
        self.row_count = result.row_count
        self.status_message = result.status_message
        self.last_row_id = result.last_row_id
        self.columns = result.columns
        self.row_number = 0
        self._rows = PiecedRows(result)
        self._current = self._rows.at(0)
        self._casters = _casters(result.columns, cursor) if result.columns else []

    @cached_property
    def description(self) -> tuple[Any, ...] | None:
        """The columns as psycopg2 describes them; None for a statement that returns no rows."""
        return None if self.columns is None else tuple(_column(column) for column in self.columns)

    @property
    def left(self) -> int:
        """Number of rows not yet fetched."""
        return self._rows.count - self.row_number

    def fetch_one(self, cursor: Any) -> Any:
        """The next row, or None. If it cannot be made, raises the error, and the row after it is next."""
        number, rows = self.row_number, self._current
        if not rows.start <= number < rows.end:
            if number >= self._rows.count:
                return None
            rows = self._current = self._rows.at(number)
        self.row_number = number + 1
        place = number - rows.start
        pairs = zip(self._casters, rows.values, strict=False)
        row = tuple([caster(column[place], cursor) for caster, column in pairs])
        factory = cursor.row_factory
        return row if factory is None else _made(factory(cursor), row)

    def fetch(self, cursor: Any, count: int) -> list[Any]:
        """The next rows, at most ``count``, as the cursor's row factory makes them.

        If a row cannot be made, raises the error, and the rows after it are next.
        """
        start = self.row_number
        self.row_number = end = min(start + count, self._rows.count)
        made: list[Any] = []
        while start < end:
            rows = self._rows.at(start)
            stop = min(end, rows.end)
            try:
                made += self._of_values(cursor, rows.values, start - rows.start, stop - rows.start)
            except Exception:
                self._raise_first(cursor, rows, start, stop)
                self.row_number = end  # it was not a row, but a signal handler that raised
                raise
            start = stop
        return made

    def _raise_first(self, cursor: Any, rows: Rows, start: int, stop: int) -> None:
        """Raise the error of the first of these rows that cannot be made, and go on behind it; if all can, return.

        Values are cast column by column, so that the first error need not be that of the first row. It is found by
        bisection: one row at a time would take seconds for a long result, also for a signal handler's error.
        """
        while stop - start > 1:
            middle = (start + stop) // 2
            try:
                self._of_values(cursor, rows.values, start - rows.start, middle - rows.start)
            except Exception:  # noqa: BLE001  # raised below, if it is that of the first row
                stop = middle
            else:
                start = middle
        self.row_number = stop
        self._of_values(cursor, rows.values, start - rows.start, stop - rows.start)

    def _of_values(self, cursor: Any, values: Values, start: int, end: int) -> list[Any]:
        columns = [
            list(map(caster, column[start:end], repeat(cursor)))
            for caster, column in zip(self._casters, values, strict=False)
        ]
        rows: Sequence[Any] = list(zip(*columns, strict=True)) if columns else [()] * (end - start)
        factory = cursor.row_factory
        return list(rows) if factory is None else [_made(factory(cursor), row) for row in rows]

    def scroll(self, row_number: int) -> None:
        """Move to a row; IndexError if the result has no such row."""
        if not 0 <= row_number < self._rows.count:
            raise IndexError
        self.row_number = row_number


def _casters(columns: Sequence[Column], cursor: Any) -> list[Callable[[bytes | None, Any], Any]]:
    """The typecasters that psycopg2 would use: the cursor's, else the connection's, else the global ones, else text."""
    own, connections, common = cursor.string_types or {}, cursor.connection.string_types, ext.string_types
    casters = []
    for column in columns:
        oid = column.type_code
        casters.append(own.get(oid) or connections.get(oid) or common.get(oid) or ext.UNICODE)
    return casters


def _made(row: Any, values: Sequence[Any]) -> Any:
    for index, value in enumerate(values):
        row[index] = value
    return row


def _column(column: Any) -> ext.Column:
    return ext.Column(
        column.name,
        column.type_code,
        None,
        column.internal_size,
        column.precision,
        column.scale,
        None,
        column.table_oid,
        column.table_column,
    )
