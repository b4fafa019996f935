"""A cursor over a result that came from the primary."""

from __future__ import annotations

from operator import index
from typing import Any

import psycopg2

from .cursor import RoutingCursor, query_here
from .errors import programming_error
from .result import RemoteResult

#: psycopg2's ``connection.closed`` of a connection that was not closed by its user.
_LOST = 2


class RemoteCursor(RoutingCursor):
    """A routing cursor while its last result is the primary's."""

    _result: RemoteResult

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        local: Any = self._classes.local
        self.__class__ = local  # its super() has to find the local class
        try:
            RoutingCursor.execute(self, query, vars)
        except BaseException:
            if type(self) is local and query_here(self) in (None, self._query_here):
                self.__class__ = self._classes.remote  # nothing has run here, and what had run before is older
                self.show_nothing(query)
            raise

    def _execute_one(self, query: Any, vars_: Any) -> None:
        RemoteCursor.execute(self, query, vars_)

    @property
    def description(self) -> Any:
        return self._result.description

    @property
    def rowcount(self) -> int:
        return self._result.row_count

    @property
    def rownumber(self) -> int:
        return self._result.row_number

    @property
    def statusmessage(self) -> str | None:
        return self._result.status_message

    @property
    def query(self) -> bytes | None:
        return self._result.query

    @property
    def lastrowid(self) -> int:
        return self._result.last_row_id

    @property
    def pgresult_ptr(self) -> None:
        return None

    def fetchone(self) -> Any:
        self._check_rows()
        return self._result.fetch_one(self)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        self._check_rows()
        count = self.arraysize if size is None else index(size)
        return self._result.fetch(self, count if count >= 0 else self._result.left)

    def fetchall(self) -> list[Any]:
        self._check_rows()
        return self._result.fetch(self, self._result.left)

    def scroll(self, value: int, mode: str = "relative") -> None:
        value = index(value)
        self._check_open()
        if mode not in ("relative", "absolute"):
            raise programming_error(self, "scroll mode must be 'relative' or 'absolute'")
        try:
            self._result.scroll(value + (self._result.row_number if mode == "relative" else 0))
        except IndexError:
            raise programming_error(self, "scroll destination out of bounds") from None

    def __iter__(self) -> RemoteCursor:
        return self

    def __next__(self) -> Any:
        row = RemoteCursor.fetchone(self)  # not the user's fetchone(), which psycopg2 does not call here either
        if row is None:
            raise StopIteration
        return row

    def _check_rows(self) -> None:
        if self.connection.closed != _LOST:  # the rows are here already, and their statement is committed
            self._check_open()
        if self._result.columns is None:
            raise psycopg2.ProgrammingError("no results to fetch")
