"""Executes statements on the primary in one request, whose results its caller shows one after another."""

from __future__ import annotations

from typing import Any

from ..classify import Statement
from ..postgres.sql_error import FromPrimary, rebuild
from ..protocol.messages import Batch, Done, Result
from ..routing.decide import Action
from ..routing.errors import explain
from ..routing.session_following import examined
from . import observed
from .connection import RoutingConnection


def execute_batch(connection: RoutingConnection, batch: Batch, statement: Statement) -> Done | None:
    """The reply to a batch, which runs in the transaction on the primary; None if nothing of it was executed.

    ``statement`` is the classification of the batch's first statement. After None, the caller executes the statements
    one by one: they belong on another server, or the node is too old. If the batch commits, the connection's
    ``commit()`` has nothing to do any more. Raises FlyOrmError, as an instance of the driver's classes as well, as
    ``cursor.execute()`` does.
    """
    decision = connection.route(examined(connection, statement))
    transaction = connection.remote.transaction
    if decision.action is not Action.FORWARD or transaction is None or transaction.failed:
        return None
    if batch.commits and not connection.can_commit_early:
        return None
    try:
        with observed.batch(connection, batch), connection.remote.lock:
            done = connection.remote.forward_batch(batch, statement, decision.why, waited=decision.waited)
    finally:
        if batch.commits and connection.remote.transaction is None:
            connection.note_commit()
    return None if done.results is None else done


def error_of(done: Done) -> Any:
    """The error that stopped a batch, as the driver would have raised it; None if there was none."""
    return None if done.error is None else rebuild(explain(done.error))


def show(cursor: Any, sql: bytes, result: Result | BaseException) -> None:
    """Let a cursor show the result of one statement of a batch, or raise its error."""
    if isinstance(result, BaseException):
        if isinstance(result, FromPrimary):
            result.cursor = cursor
        raise result
    cursor._show(result, sql)
