"""When what became of a request that got no reply can no longer change."""

from __future__ import annotations

from ..deadline import SETTLING_TIME, Deadline
from ..errors import FlyOrmError, OutcomeUnknown
from ..protocol.messages import Call, Cancel, Copy, Run


def with_settled_after(
    error: OutcomeUnknown, request: Run | Copy | Call | Cancel, deadline: Deadline
) -> OutcomeUnknown:
    """The error for a request that was sent and got no reply, which says how long its outcome may still change."""
    settled_after = _settled_after(request, deadline)
    facts = {**error.__dict__, "settled_after": settled_after}
    return OutcomeUnknown(f"{error}; {advice(settled_after)}", **facts)


def advice(settled_after: float | None) -> str:
    """What to do about a request that may take effect for so many seconds from now; None if there is no bound."""
    if settled_after is None:
        return "how long it may still take effect is not known, so look for it more than once before you repeat it"
    if settled_after <= 0:
        return "it cannot take effect any more: look for it before you repeat it"
    return f"it can take effect for another {settled_after:.1f} s: look for it then, before you repeat it"


def without_reply(error: OutcomeUnknown) -> str:
    """Why a request got no reply, without the advice for an unknown outcome."""
    if error.problem:
        return f"no reply came from {error.node or 'the node'}: {error.problem}"
    cause: BaseException = error
    while isinstance(cause.__cause__, OutcomeUnknown):
        cause = cause.__cause__
    return str(cause)


def problem(error: FlyOrmError) -> str:
    """The message of an error without the advice that the outcome is unknown, where it is known after all."""
    cause = error.__cause__
    return str(cause if isinstance(error, OutcomeUnknown) and isinstance(cause, OutcomeUnknown) else error)


def _settled_after(request: Run | Copy | Call | Cancel, deadline: Deadline) -> float | None:
    """Seconds from now; None if there is no bound.

    The node begins nothing after the deadline, and cancels what it is executing then. But it does not cancel a COMMIT
    that may wait for a standby, nor a COPY that waits for its caller.
    """
    left = deadline.remaining()
    if request.begin_by is None or left is None or _is_unlimited(request):
        return None
    return left + SETTLING_TIME


def _is_unlimited(request: Run | Copy | Call | Cancel) -> bool:
    """Whether the node may go on with what it executes after the deadline."""
    if isinstance(request, Copy):
        return not request.last
    if not isinstance(request, Run):
        return False
    return request.copy_out_in_pieces or (request.commits and not request.commit_limited)
