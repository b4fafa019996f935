"""Why a request of a lease has no reply of its own, and the errors of statements that were ended."""

from __future__ import annotations

import msgspec

from ..protocol.messages import SQLError

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
