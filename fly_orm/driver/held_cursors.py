"""Named cursors that were declared on the replica, in a transaction that has not begun on the primary.

Outside of a transaction, only a cursor WITH HOLD outlives its statement (Postgres manual, DECLARE). The application did
not ask for one, and must not notice: the cursor ends with the transaction, or with the savepoint that it is rolled back
to, and says so as psycopg2 does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import ref

import psycopg2
from psycopg2 import extensions as ext

from ..classify import ENDS, Kind, Statement
from ..routing.transaction import Savepoint


@dataclass(kw_only=True, eq=False)
class _Held:
    name: str
    cursor: Any
    """A weak reference: the connection must not depend on the collector to be closed."""
    savepoints: tuple[Savepoint, ...]
    """Those that it was declared in."""
    asked: bool
    """Whether the application asked for a cursor that outlives a COMMIT."""


class HeldCursors:
    """Those of one transaction. Used by one thread at a time."""

    def __init__(self) -> None:
        self._held: list[_Held] = []

    def add(self, cursor: Any, savepoints: tuple[Savepoint, ...]) -> None:
        """Note a cursor that has just been declared in these savepoints."""
        self._held = [held for held in self._held if held.name != cursor.name]  # which was closed
        self._held.append(_Held(name=cursor.name, cursor=ref(cursor), savepoints=savepoints, asked=cursor.wants_hold))

    def watch(self) -> None:
        """Have the cursors look at the transaction before each fetch: it has begun, or failed."""
        for held in self._held:
            cursor = held.cursor()
            if cursor is not None:
                cursor.__class__ = cursor._classes.watched

    def executed(self, connection: Any, statement: Statement, *, failed: bool) -> bool:
        """Close the cursors that a successful statement has ended. Returns whether it has ended the transaction.

        ``failed`` says that the transaction had failed before.
        """
        for each in statement.controls or (statement,):
            if each.kind in ENDS or (each.ends_transaction and not each.controls):
                self.end(connection, committed=each.kind is Kind.COMMIT and not failed)
                return True
            failed = failed and each.kind is not Kind.ROLLBACK_TO
        self.close(connection, [held for held in self._held if any(each.undone for each in held.savepoints)])
        return False

    def end(self, connection: Any, *, committed: bool) -> None:
        """Close them at the end of the transaction, except for those that are to outlive it."""
        self.watch()
        self.close(connection, [held for held in self._held if not (held.asked and committed)])

    def close(self, connection: Any, held: list[_Held]) -> None:
        """Close cursors on the replica. That it cannot be reached must not make a COMMIT fail."""
        for each in held:
            cursor = each.cursor()
            if not (connection.closed or (cursor is not None and cursor.closed)):
                with suppress(psycopg2.Error), ext.cursor(connection) as own:
                    own.execute(f"CLOSE {ext.quote_ident(each.name, connection)}")
            self._held.remove(each)
