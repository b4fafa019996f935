"""Why a request of a lease has no reply of its own, and the errors of statements that were ended."""

from __future__ import annotations

import msgspec
import psycopg2
from psycopg2.errorcodes import QUERY_CANCELED

from ..postgres.running_statement import RunningStatement
from ..postgres.sql_error import describe, is_end_of_session
from ..protocol.messages import SQLError
from .result_limit import ENDED, ResultLimit, too_long

_TIMED_OUT = (
    "canceling statement due to timeout; it has had no effect. "
    "Allow more time with FLY_ORM_RPC_TIMEOUT or wrap(…, rpc_timeout=seconds)"
)
_TIMED_OUT_HERE = (
    "canceling statement due to timeout; it has had no effect. The node allows it {:g} s: do less at once, or raise "
    "FLY_ORM_STATEMENT_TIMEOUT there"
)


class ConnectionBroken(Exception):
    """The connection to the primary broke. ``undecided`` says whether something may have been committed just then.

    ``ended`` says that nothing goes on there: it was the server that ended the connection.
    """

    def __init__(self, message: str, *, undecided: bool, ended: bool = False) -> None:
        super().__init__(message)
        self.undecided = undecided
        self.ended = ended


class TooLate(Exception):
    """Its caller's deadline passed before the request, or what is left of it, could begin; it is rolled back."""


def timeout_text(limit: float | None) -> str:
    """What the error says of a statement that was ended at its caller's deadline, or after the node's own limit."""
    return _TIMED_OUT if limit is None else _TIMED_OUT_HERE.format(limit)


def timed_out(error: SQLError, text: str) -> SQLError:
    """The error of a statement that was cancelled, with this text."""
    diagnostics = {**error.diagnostics, "message_primary": text}
    return msgspec.structs.replace(error, message=text, diagnostics=diagnostics)


def broken(
    error: psycopg2.Error, running: RunningStatement, limit: ResultLimit, *, undecided: bool
) -> ConnectionBroken:
    """The error for a connection that broke while a statement was running."""
    ended = not running.broken_off and is_end_of_session(error)
    message = str(too_long(limit.most, ENDED) if running.is_too_long else error)
    return ConnectionBroken(message, undecided=undecided, ended=ended)


def described(error: psycopg2.Error, running: RunningStatement, limit: ResultLimit, timeout: str) -> SQLError:
    """What a statement has raised, as it travels; ``timeout`` is the text if its time was over."""
    if error.pgcode != QUERY_CANCELED:
        return describe(error)
    if running.is_too_long:
        return describe(limit.cancelled())
    return timed_out(describe(error), timeout) if running.is_timed_out else describe(error)
