"""Named (server-side) cursors, on the replica or in a transaction that runs on the primary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..routing.decide import Action, without_asking
from . import observed
from .cursor import NOTHING, RoutingCursor
from .cursors_here import stand_in
from .remote_cursor import RemoteCursor

_SCROLL = {None: "", True: "SCROLL ", False: "NO SCROLL "}
_FETCH = Statement(kind=Kind.READ, why="FETCH")
_FAILED = ext.TRANSACTION_STATUS_INERROR
_HOLD: Any = ext.cursor.__dict__["withhold"]
"""psycopg2's own attribute, which its C code reads."""


class DeclaredCursor(RoutingCursor):
    """What psycopg2 keeps of a named cursor to tell whether it is valid."""

    wants_hold = False
    """Whether the application asked for a cursor that outlives its transaction."""
    ends: int | None = None
    """How many transactions of the connection had ended when it was executed; None if it was not."""

    def _check_valid(self) -> None:
        if not self.wants_hold and self.ends not in (None, self.connection.ends):
            raise psycopg2.ProgrammingError("named cursor isn't valid anymore")

    def _check_closes(self) -> None:
        """Raise psycopg2's error for a cursor that has ended, where psycopg2's own ``close()`` would check."""
        connection = self.connection
        if not (self.closed or connection.closed or connection.get_transaction_status() == _FAILED):
            self._check_valid()

    def _declare_here(self, sql: bytes = b"SELECT", *, hold: str = "WITH") -> None:
        """Declare a cursor of this name on the replica."""
        with ext.cursor(self.connection) as here:
            here.execute(self._bind(f"DECLARE {self._identifier} CURSOR {hold} HOLD FOR ", None) + sql)

    @property
    def _identifier(self) -> str:
        return ext.quote_ident(self.name or "", self)


class NamedCursor(DeclaredCursor):
    """A named cursor that was not executed.

    It may stand for a cursor of its name that a statement has opened (DECLARE, or a function that returns a refcursor),
    on the server where the connection's statements run now.
    """

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        self._check_open()
        self._check_declares()
        self.wants_hold, self.ends = bool(self.withhold), self.connection.ends
        if not self.connection.declares_here:
            if self.connection.is_over and not self.wants_hold:
                self._declare_here(self._bind(query, vars), hold="WITHOUT")  # which the server refuses
            self._execute_one(query, vars)
            if type(self) is self._classes.local and self.wants_hold:
                self.connection.has_declared = True
                self.__class__ = self._classes.watched  # it may be fetched from in a transaction on the primary
            return
        _HOLD.__set__(self, True)  # or psycopg2 would neither declare it nor fetch
        try:
            self._execute_one(query, vars)
            _end_with_transaction(self)
        except psycopg2.Error:  # it was not declared
            raise
        except BaseException:  # an interrupt, perhaps after it was declared
            _end_with_transaction(self)
            raise
        finally:
            if type(self) is not self._classes.held:
                _HOLD.__set__(self, self.wants_hold)

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
        on_primary = without_asking(self.connection.route(_FETCH)).action is Action.FORWARD
        if on_primary:
            self._show(NOTHING, None)
        return getattr(RemoteNamedCursor if on_primary else ext.cursor, method)(self, *args)


def _end_with_transaction(cursor: Any) -> None:
    """Have the connection close a named cursor with the transaction, if it was declared on the replica."""
    if type(cursor) is cursor._classes.local and cursor.query is not None:
        cursor.connection.hold(cursor)
        cursor.__class__ = cursor._classes.held


class HeldCursor(DeclaredCursor):
    """A named cursor that was declared on the replica, for a transaction that has not begun on the primary."""

    @property
    def withhold(self) -> Any:
        return self.wants_hold

    @withhold.setter
    def withhold(self, value: Any) -> None:
        self.wants_hold = bool(value)


class WatchedCursor(HeldCursor):
    """A held cursor once its transaction has begun, failed or ended: each fetch checks that first."""

    def fetchone(self) -> Any:
        return self._fetched("fetchone")

    def fetchmany(self, size: int | None = None) -> Any:
        return self._fetched("fetchmany", *(() if size is None else (size,)))

    def fetchall(self) -> Any:
        return self._fetched("fetchall")

    def __next__(self) -> Any:
        if self.closed or self.rownumber >= self.rowcount:
            return self._fetched("__next__")
        self._check_valid()
        return super().__next__()  # the row is here

    def scroll(self, value: int, mode: str = "relative") -> None:
        self._fetched("scroll", value, mode)

    def close(self) -> None:
        self._check_closes()
        try:
            super().close()
        except psycopg2.Error as error:
            connection = self.connection
            if connection.closed or connection.get_transaction_status() != _FAILED:
                self._fail("close", error)
            if not self.closed:
                self._declare_here()  # for psycopg2, which closes it
                super().close()

    def _fetched(self, method: str, *args: Any) -> Any:
        self._check_open()
        self._check_valid()
        transaction = self.connection.remote.transaction
        if transaction is not None:
            transaction.check_not_failed()
        try:
            return getattr(ext.cursor, method)(self, *args)
        except psycopg2.Error as error:
            return self._fail(method, error, *args)

    def _fail(self, method: str, error: psycopg2.Error, *args: Any) -> Any:
        """Raise the error of the replica, which has no such cursor any more, and let the transaction fail."""
        transaction = self.connection.remote.transaction
        if self.wants_hold and transaction is None:  # psycopg2 begins no transaction for it
            raise error
        if transaction is None or transaction.is_unsent:
            self.connection.note_failed_read(error)
            raise error
        self._show(NOTHING, self.query)
        self._declared = True
        return getattr(RemoteNamedCursor, method)(self, *args)  # which fails on the primary, too


class RemoteNamedCursor(DeclaredCursor, RemoteCursor):
    """Fetches from the primary: one round trip per fetch, and one per ``itersize`` rows of an iteration."""

    _declared = False

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        self._check_declares()

    def declare(self, sql: bytes, statement: Statement, why: str) -> None:
        """Declare the cursor on the primary."""
        hold = "WITH" if self.wants_hold else "WITHOUT"
        declare = self._bind(f"DECLARE {self._identifier} {_SCROLL[self.scrollable]}CURSOR {hold} HOLD FOR ", None)
        command = stand_in(self.connection, self.name, hold=self.wants_hold) + declare + sql
        leaves_state = self.wants_hold or statement.leaves_state
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
        self._check_open()
        self._check_valid()
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
        self._check_closes()
        connection = self.connection
        fails = connection.closed or connection.get_transaction_status() == _FAILED
        if not (self.closed or fails) and (self._declared or (connection.holds_cursors and self._exists())):
            self._ask(f"CLOSE {self._identifier}")
        if self._declared and not self.closed and ext.cursor.query.__get__(self) is not None:
            self._declare_here()  # for psycopg2, which closes it: the replica has refused to declare the cursor
        self._declared = False
        super().close()

    def _exists(self) -> bool:
        """Whether the primary has a cursor of this name, which another statement has opened."""
        self._ask(self.mogrify("SELECT FROM pg_catalog.pg_cursors WHERE name = %s", (self.name,)))
        return self._result.left > 0

    def _fetch(self, count: str) -> list[Any]:
        self._ask(f"FETCH FORWARD {count} FROM {self._identifier}")
        return self._result.fetch(self, self._result.left)

    def _ask(self, command: str | bytes) -> None:
        self._check_open()
        self._check_valid()
        query, statement = self._result.query, Statement(kind=Kind.READ, why="a cursor on the primary")
        with observed.block(self, command, kind="read"):
            self._show(self._forward([self._bind(command, None)], statement, statement.why), query)
