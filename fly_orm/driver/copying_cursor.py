"""The methods of a cursor that copy between a table and a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from . import copying


class CopyingCursor(ext.cursor):
    """A cursor that executes COPY where it belongs."""

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self._check_open()
        copying.check_file(file)
        copying.copy(self, sql, file, size)

    def copy_from(
        self,
        file: Any,
        table: str,
        sep: str = "\t",
        null: str = "\\N",
        size: int = 8192,
        columns: Iterable[str] | None = None,
    ) -> None:
        copying.check_source(file)
        self._check_open()
        copying.copy(self, copying.statement("FROM stdin", table, sep, null, columns, self), file, size)

    def copy_to(
        self, file: Any, table: str, sep: str = "\t", null: str = "\\N", columns: Iterable[str] | None = None
    ) -> None:
        copying.check_target(file)
        self._check_open()
        copying.copy(self, copying.statement("TO stdout", table, sep, null, columns, self), file, 8192)

    def _check_open(self) -> None:
        if self.closed:
            raise psycopg2.InterfaceError("cursor already closed")
