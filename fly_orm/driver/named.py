"""A named (server-side) cursor on the primary, for a query of a transaction that runs there."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from .remote_cursor import RemoteCursor

_SCROLL = {None: "", True: "SCROLL ", False: "NO SCROLL "}


class RemoteNamedCursor(RemoteCursor):
    """Fetches from the primary: one round trip per fetch, and one per ``itersize`` rows of an iteration."""

    _declared = False

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        self._check_declares()

    def declare(self, sql: bytes, why: str) -> None:
        """Declare the cursor on the primary."""
        hold = "WITH" if self.withhold else "WITHOUT"
        command = f"DECLARE {self._identifier} {_SCROLL[self.scrollable]}CURSOR {hold} HOLD FOR ".encode() + sql
        statement = Statement(kind=Kind.WRITE, why=why, leaves_state=bool(self.withhold))
        result = self._forward([command], statement, why)
        self._declared = True
        self._show(result, command)

    def fetchone(self) -> Any:
        rows = self._fetch("1")
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return self._fetch(str(self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        return self._fetch("ALL")

    def __next__(self) -> Any:
        if not self._result.left:
            self._ask(f"FETCH FORWARD {self.itersize} FROM {self._identifier}")
        rows = self._result.fetch(self, 1)
        if not rows:
            raise StopIteration
        return rows[0]

    def scroll(self, value: int, mode: str = "relative") -> None:
        if mode not in ("relative", "absolute"):
            raise psycopg2.ProgrammingError("scroll mode must be 'relative' or 'absolute'")
        self._ask(f"MOVE {mode.upper()} {value} FROM {self._identifier}")

    def close(self) -> None:
        if self._declared and not self.closed and self.connection.holds_cursors:
            self._ask(f"CLOSE {self._identifier}")
        if self._declared and not self.closed and ext.cursor.query.__get__(self) is not None:
            # psycopg2 will send CLOSE to the replica, which refused to declare the cursor and needs one to close.
            with ext.cursor(self.connection) as here:
                here.execute(f"DECLARE {self._identifier} CURSOR WITH HOLD FOR SELECT")
        self._declared = False
        super().close()

    @property
    def _identifier(self) -> str:
        return ext.quote_ident(self.name or "", self)

    def _fetch(self, count: str) -> list[Any]:
        rows = self._result.fetch(self, self._result.left) if count == "ALL" else []
        self._ask(f"FETCH FORWARD {count} FROM {self._identifier}")
        return rows + self._result.fetch(self, self._result.left)

    def _ask(self, command: str) -> None:
        self._check_open()
        sql = command.encode()
        statement = Statement(kind=Kind.READ, why="a cursor on the primary")
        self._show(self._forward([sql], statement, statement.why), sql)
