"""How far a replica must replay to show what a request has done."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg2
from psycopg2 import extensions as ext

from ..position import UNKNOWN, Position
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.primary_pool import PrimaryPool
from .recorded import Executed

log = logging.getLogger("fly_orm.node")


def position_after(
    connection: PrimaryConnection,
    executed: Executed,
    transaction: int,
    clean: Callable[[], str | None] | None,
    pool: PrimaryPool,
) -> Position | None:
    """The position after what was executed; UNKNOWN if the connection breaks, which undoes nothing.

    ``transaction`` is libpq's status. ``clean`` cleans the session in the string that asks for the position; None if
    the lease stays open. ``pool`` has other connections.
    """
    if transaction == ext.TRANSACTION_STATUS_INERROR:
        return None  # COMMIT AND CHAIN failed
    commit, wal, state = executed.commit, connection.wal, executed.state
    try:
        if transaction != ext.TRANSACTION_STATUS_IDLE:
            # COMMIT AND CHAIN has begun another transaction, of which the question would take the snapshot too early.
            return pool.position_after(commit) or UNKNOWN
        if state is None and clean is not None:
            state = clean()
        return wal.position_after(commit, state)
    except psycopg2.Error as error:
        log.warning(
            "could not ask the primary for its position after a request: %s",
            str(error).strip(),
            extra={"event": "position_unknown", "problem": str(error).strip()},
        )
        return UNKNOWN
