"""Named (server-side) cursors, on the replica or in a transaction that runs on the primary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..routing.decide import Action, unchecked
from . import observed
from .cursor import NOTHING, RoutingCursor
from .remote_cursor import RemoteCursor

_SCROLL = {None: "", True: "SCROLL ", False: "NO SCROLL "}
_FETCH = Statement(kind=Kind.READ, why="FETCH")


class NamedCursor(RoutingCursor):
    """A named cursor that was not executed.

    It stands for a cursor that a statement has opened under its name: DECLARE, or a function that returns a refcursor.
    That one is where the connection's statements run now.
    """

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        self._check_open()
        self._check_declares()
        self._execute_one(query, vars)

    def fetchone(self) -> Any:
        return self._call("fetchone")

    def fetchmany(self, size: int | None = None) -> Any:
        return self._call("fetchmany", size)

    def fetchall(self) -> Any:
        return self._call("fetchall")

    def __next__(self) -> Any:
        return self._call("__next__")

    def scroll(self, value: int, mode: str = "relative") -> None:
        self._call("scroll", value, mode)

    def close(self) -> None:
        if not (self.closed or self.connection.closed) and self.connection.holds_cursors:
            self._show(NOTHING, None)
            RemoteNamedCursor.close(self)  # type: ignore[arg-type]  # which it is now
        else:
            super().close()

    def _call(self, method: str, *args: Any) -> Any:
        """Call a method of the cursor on the primary, which this is from then on, or of the one on the replica."""
        self._check_open()
        on_primary = unchecked(self.connection.route(_FETCH)).action is Action.FORWARD
        if on_primary:
            self._show(NOTHING, None)
        return getattr(RemoteNamedCursor if on_primary else ext.cursor, method)(self, *args)


class RemoteNamedCursor(RemoteCursor):
    """Fetches from the primary: one round trip per fetch, and one per ``itersize`` rows of an iteration."""

    _declared = False

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        self._check_declares()

    def declare(self, sql: bytes, statement: Statement, why: str) -> None:
        """Declare the cursor on the primary."""
        hold = "WITH" if self.withhold else "WITHOUT"
        command = (
            self._bind(f"DECLARE {self._identifier} {_SCROLL[self.scrollable]}CURSOR {hold} HOLD FOR ", None) + sql
        )
        leaves_state = bool(self.withhold) or statement.leaves_state
        statement = replace(statement, kind=Kind.WRITE, leaves_state=leaves_state, opens_cursor=True)
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
        if not self._result.left:
            raise StopIteration
        return self._result.fetch_one(self)

    def scroll(self, value: int, mode: str = "relative") -> None:
        if mode not in ("relative", "absolute"):
            raise psycopg2.ProgrammingError("scroll mode must be 'relative' or 'absolute'")
        self._ask(f"MOVE {mode.upper()} {value} FROM {self._identifier}")

    def close(self) -> None:
        if not self.closed and self.connection.holds_cursors and (self._declared or self._exists()):
            self._ask(f"CLOSE {self._identifier}")
        if self._declared and not self.closed and ext.cursor.query.__get__(self) is not None:
            # psycopg2 will send CLOSE to the replica, which refused to declare the cursor and needs one to close.
            with ext.cursor(self.connection) as here:
                here.execute(f"DECLARE {self._identifier} CURSOR WITH HOLD FOR SELECT")
        self._declared = False
        super().close()

    def _exists(self) -> bool:
        """Whether the primary has a cursor of this name, which another statement has opened."""
        self._ask(self.mogrify("SELECT FROM pg_catalog.pg_cursors WHERE name = %s", (self.name,)))
        return self._result.left > 0

    @property
    def _identifier(self) -> str:
        return ext.quote_ident(self.name or "", self)

    def _fetch(self, count: str) -> list[Any]:
        rows = self._result.fetch(self, self._result.left) if count == "ALL" else []
        self._ask(f"FETCH FORWARD {count} FROM {self._identifier}")
        return rows + self._result.fetch(self, self._result.left)

    def _ask(self, command: str | bytes) -> None:
        self._check_open()
        query, statement = self._result.query, Statement(kind=Kind.READ, why="a cursor on the primary")
        with observed.block(self, command, kind="read"):
            self._show(self._forward([self._bind(command, None)], statement, statement.why), query)
