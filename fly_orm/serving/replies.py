"""Makes replies, and encodes them; all of them have to fit into one message."""

from __future__ import annotations

import msgspec

from ..concurrency.pool import PoolTimeout
from ..deadline import now
from ..errors import NotPrimary, Refused
from ..postgres.sql_error import shortened
from ..protocol import reasons
from ..protocol.encoding import encode
from ..protocol.messages import Declined, Done, Reply, Returned, SQLError
from ..transport import MAX_MESSAGE_BYTES, OVERHEAD_BYTES


def declined(error: Refused) -> Declined:
    """The reply to a request that was refused with this error."""
    superseded = dict(error.superseded) if isinstance(error, NotPrimary) else {}
    return Declined(reason=error.reason, message=str(error), superseded=superseded)


def not_opened(error: Exception) -> Declined:
    """The reply to a request whose lease could not be opened, or on whose connection nothing was executed."""
    if isinstance(error, Refused):
        return declined(error)
    problem = shortened(str(error).strip())
    if isinstance(error, PoolTimeout):
        return Declined(reason=reasons.BUSY, message=f"no connection to the primary is free: {problem}")
    return Declined(reason=reasons.UNAVAILABLE, message=f"this node cannot connect to the primary: {problem}")


def encode_reply(reply: Reply) -> bytes:
    """The encoded reply, with this node's clock. If it is too long for a message, its outcome without its result."""
    reply = msgspec.structs.replace(reply, clock=now())
    encoded = encode(reply)
    if len(encoded) > MAX_MESSAGE_BYTES - OVERHEAD_BYTES and isinstance(reply, Done | Returned):
        return encode(_without_result(reply, len(encoded)))
    return encoded


def _without_result(reply: Done | Returned, size: int) -> Done | Returned:
    problem = f"the result is {size} bytes long, and a reply may not be longer than {MAX_MESSAGE_BYTES}"
    if isinstance(reply, Returned):
        return msgspec.structs.replace(reply, value=None, error=None, result_lost=problem)
    if reply.error is not None:  # there is no result, and the statement was not executed
        return msgspec.structs.replace(reply, notices=[])
    message = (
        f"{problem}; the statement was executed. Fetch less at once (LIMIT, a server-side cursor), or read from the "
        "replica"
    )
    # 54000 is Postgres' program_limit_exceeded (manual, appendix A).
    error = SQLError(driver_class="OperationalError", message=message, sqlstate="54000", text=message)
    return msgspec.structs.replace(reply, result=None, error=error)
