"""The rows of a statement, taken while they arrive: psycopg2 returns only once libpq has all of them in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from ctypes import string_at
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions as ext

from ..protocol.results import Column
from .libpq_errors import error_of, failure
from .libpq_results import (
    COMMAND_OK,
    COPIES,
    EMPTY_QUERY,
    SEPARATOR,
    SINGLE_TUPLE,
    TUPLES_CHUNK,
    TUPLES_OK,
    LibpqResults,
    Page,
    libpq_results,
)

#: How many rows libpq keeps until it hands them over, where it can keep several: the fewer, the longer they may be.
CHUNK_ROWS = 16
#: Rows, and bytes as libpq counts them, that are looked at together.
_BATCH_ROWS, _BATCH_BYTES = 256, 64 * 1024
#: Values fewer than which are asked for one by one, and bytes of a row in libpq from which on they are.
_FEW_VALUES, _LONG_ROW_BYTES = 32, 4096
_NUMERIC = 1700

Value = bytes | None


class Batch(NamedTuple):
    """Some rows."""

    rows: int
    columns: list[list[Value]]
    """Their values, column by column, as Postgres sent them."""


class RowStream:
    """A statement, or several in one string, on an idle driver connection in autocommit. One thread at a time.

    Nothing else may use the connection until :meth:`batches` is exhausted, except to cancel the statement.
    """

    def __init__(self, connection: Any, libpq: LibpqResults) -> None:
        self.connection = connection
        self._libpq = libpq
        self._page: Page | None = None
        self._held: list[int] = []
        """Results whose rows have not been taken yet."""
        self._held_rows = self._held_bytes = 0
        self._ended = True
        self._tag = b""
        """The command tag, which libpq gives to the last rows of a statement if they do not fill a chunk."""
        self.columns: list[Column] | None = None
        """The columns of the last statement; None if it returns no rows. Known at the end, as are the others."""
        self.row_count = -1
        """The driver's ``rowcount``."""
        self.status_message: str | None = None
        self.rows = 0
        """How many rows of the statement have been returned so far; of several in one string, the one that runs."""

    @classmethod
    def on(cls, connection: Any) -> RowStream | None:
        """A stream on this connection; None if libpq's functions cannot be called from here.

        Neither can they if the driver waits by a callback of the application's, as with gevent: they would hold up all
        other greenlets.
        """
        libpq = libpq_results() if ext.get_wait_callback() is None else None
        return None if libpq is None else cls(connection, libpq)

    def batches(self, sql: bytes) -> Generator[Batch, None, None]:
        """Execute; the rows in order. Of several statements, those of each, with :attr:`rows` counted anew.

        Raises what psycopg2 raises, at whatever row. If the iteration is given up, the connection has to be closed.
        """
        libpq, connection = self._libpq, self.connection.pgconn_ptr
        if self.connection.closed:
            raise psycopg2.InterfaceError("connection already closed")
        if not libpq.PQsendQuery(connection, sql):
            raise self._noticed(failure(libpq, self.connection))
        if libpq.set_chunks is None:
            libpq.PQsetSingleRowMode(connection)
        else:
            libpq.set_chunks(connection, CHUNK_ROWS)
        error: psycopg2.Error | None = None
        try:
            # To wait releases the interpreter's lock, and is done only if there is something to wait for.
            while result := (libpq.wait_for_result if libpq.PQisBusy(connection) else libpq.PQgetResult)(connection):
                if libpq.PQresultStatus(result) in (TUPLES_CHUNK, SINGLE_TUPLE):
                    if self._hold(result):
                        yield from self._taken()
                    continue
                yield from self._taken()
                try:
                    error = self._end(result)  # the last one counts, as for PQexec
                finally:
                    libpq.PQclear(result)
                if isinstance(error, psycopg2.ProgrammingError) and error.pgcode is None:
                    break  # a COPY, which has no end before it is answered; the next statement answers it
        finally:
            self._clear()
        if error is not None:
            raise self._noticed(error)

    def _hold(self, result: int) -> bool:
        """Keep a result until it is worth while to look at it. Whether it is."""
        if self._ended:
            self.rows, self._ended = 0, False
        self._held.append(result)
        self._held_rows += self._libpq.PQntuples(result)
        self._held_bytes += self._libpq.PQresultMemorySize(result)
        return self._held_rows >= _BATCH_ROWS or self._held_bytes >= _BATCH_BYTES

    def _taken(self) -> Iterator[Batch]:
        """The rows that are held."""
        if not self._held:
            return
        self._tag = self._libpq.PQcmdStatus(self._held[-1])
        count, size = self._held_rows, self._held_bytes
        width = self._libpq.PQnfields(self._held[0])
        columns = None
        if size < count * _LONG_ROW_BYTES and count * width >= _FEW_VALUES:
            columns = self._printed(count, width)
        together = columns is not None or not width
        for batch in [Batch(count, columns or [])] if together else self._one_by_one(width):
            self.rows += batch.rows
            yield batch
        self._release()

    def _printed(self, count: int, width: int) -> list[list[Value]] | None:
        """The values that are held, in one go; None if that cannot tell them apart."""
        libpq, held = self._libpq, self._held
        if libpq.printing is None or any(libpq.PQfformat(held[0], column) for column in range(width)):
            return None
        if self._page is None:
            self._page = libpq.printing.open()
        text = self._page.write(held)
        # PQprint writes so many separators and line ends. If there are more, some belong to values.
        if text.count(b"\n") != count or text.count(SEPARATOR) != count * (width - 1):
            return None
        cells: list[Value] = list(text.replace(b"\n", SEPARATOR).split(SEPARATOR))
        cells.pop()
        columns: list[list[Value]] = [cells[column::width] for column in range(width)]
        if b"" in cells:
            self._mark_nulls(columns)
        return columns

    def _mark_nulls(self, columns: list[list[Value]]) -> None:
        is_null = self._libpq.PQgetisnull
        places = [(result, row) for result in self._held for row in range(self._libpq.PQntuples(result))]
        for column, values in enumerate(columns):
            if b"" in values:
                values[:] = [
                    value or (None if is_null(result, row, column) else b"")
                    for value, (result, row) in zip(values, places, strict=True)
                ]

    def _one_by_one(self, width: int) -> Iterator[Batch]:
        """The rows that are held, each by itself, as they may be long."""
        binary = [self._libpq.PQfformat(self._held[0], column) != 0 for column in range(width)]
        for result in self._held:
            for row in range(self._libpq.PQntuples(result)):
                yield Batch(1, [[self._value(result, row, column, binary[column])] for column in range(width)])

    def _value(self, result: int, row: int, column: int, is_binary: bool) -> Value:
        if is_binary:  # from a cursor that was declared BINARY: the value may contain zero bytes
            size = self._libpq.PQgetlength(result, row, column)
            value: bytes = string_at(self._libpq.PQgetvalue(result, row, column), size)
        else:
            value = self._libpq.text_value(result, row, column)
        return value or (None if self._libpq.PQgetisnull(result, row, column) else b"")

    def _end(self, result: int) -> psycopg2.Error | None:
        """Note what the end of a statement says; returns the error that it is."""
        libpq, status = self._libpq, self._libpq.PQresultStatus(result)
        if status == EMPTY_QUERY:
            return psycopg2.ProgrammingError("can't execute an empty query")
        if status in COPIES:
            word = "TO" if status == COPIES[0] else "FROM"
            return psycopg2.ProgrammingError(f"can't execute COPY {word}: use the copy_{word.lower()}() method instead")
        if status not in (TUPLES_OK, COMMAND_OK):
            return error_of(libpq, result, self.connection)
        if self._ended:  # it has returned no row
            self.rows = 0
        self._ended = True
        self.status_message = (libpq.PQcmdStatus(result) or self._tag).decode("ascii", "replace")
        if status == TUPLES_OK:
            self.row_count = self.rows
            self.columns = [self._column(result, number) for number in range(libpq.PQnfields(result))]
        else:
            self.row_count = int(libpq.PQcmdTuples(result) or -1)
            self.columns = None
        return None

    def _column(self, result: int, number: int) -> Column:
        """The description of a column as psycopg2 makes it (``_make_column()`` in pqpath.c)."""
        libpq = self._libpq
        oid, modifier, size = (get(result, number) for get in (libpq.PQftype, libpq.PQfmod, libpq.PQfsize))
        if modifier > 0:
            modifier -= 4  # the length of a header that is no part of the value (VARHDRSZ in c.h)
        is_numeric = oid == _NUMERIC
        if size == -1:
            size = modifier >> 16 if is_numeric else modifier
        return Column(
            name=libpq.PQfname(result, number).decode(ext.encodings[self.connection.encoding]),
            type_code=oid,
            internal_size=size,
            precision=(modifier >> 16) & 0xFFFF if is_numeric else None,
            scale=modifier & 0xFFFF if is_numeric else None,
            table_oid=libpq.PQftable(result, number) or None,
            table_column=max(0, libpq.PQftablecol(result, number)) or None,
        )

    def _noticed(self, error: psycopg2.Error) -> psycopg2.Error:
        """The error, once the driver has found out whether the connection is lost."""
        with suppress(psycopg2.Error):
            self.connection.poll()
        return error

    def _release(self) -> None:
        for result in self._held:
            self._libpq.PQclear(result)
        self._held.clear()
        self._held_rows = self._held_bytes = 0

    def _clear(self) -> None:
        self._release()
        if self._page is not None:
            self._page.close()
            self._page = None
