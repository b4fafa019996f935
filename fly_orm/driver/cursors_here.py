"""SQL about cursors that were declared on the replica, which the application may name without their objects."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Statement
from ..routing.decide import Action, Decision

_DECISION = Decision(action=Action.READ_HERE, why="a cursor on the replica")


def ran_on_cursor_here(cursor: Any, query: Any, vars_: Any, statement: Statement) -> bool:
    """Run FETCH, MOVE or CLOSE on the replica, if it has the cursor; False if the primary has to run it.

    If it fails, so does the transaction.
    """
    connection = cursor.connection
    if statement.opens_cursor or not _is_here(connection, statement.cursor):
        return False
    transaction = connection.remote.transaction
    if transaction is not None:
        transaction.check_not_failed()
    try:
        cursor.run_here(_DECISION, "execute", query, vars_)
    except psycopg2.Error as error:
        if transaction is not None and not transaction.is_unsent:
            return False  # it fails on the primary, too, which has no such cursor
        connection.note_failed_read(error)
        raise
    closes_all = statement.cursor == ""
    return not (closes_all and (connection.remote.has_state or not (transaction is None or transaction.is_unsent)))


def stand_in(connection: Any, name: str | None, *, hold: bool) -> bytes:
    """What declares a cursor of this name on the primary if the replica has one, so that another one is refused.

    ``hold`` says whether that one is WITH HOLD; others are refused outside of a transaction anyway.
    """
    refused = connection.remote.transaction is None and not hold
    if refused or not (name and _is_here(connection, name)):
        return b""
    declare = f"DECLARE {ext.quote_ident(name, connection)} CURSOR WITH HOLD FOR SELECT; "
    return declare.encode(ext.encodings[connection.encoding])


def _is_here(connection: Any, name: str | None) -> bool:
    """Whether the replica's session has a cursor of this name, or any cursor if the name is empty."""
    if not connection.has_declared or connection.closed:
        return False
    with ext.cursor(connection) as own:
        own.execute("SELECT FROM pg_catalog.pg_cursors WHERE name = %s OR %s = ''", (name, name))
        return own.rowcount > 0
