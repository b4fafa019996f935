"""How long a request may take on a node."""

from __future__ import annotations

import math

from ..deadline import Deadline, now
from ..protocol.messages import Call, Copy, Run


def node_deadline(request: Run | Copy | Call) -> Deadline:
    """The instant after which nothing of the request may begin, and what is running is cancelled.

    A COMMIT may run for longer than its caller waits, so only the instant at which its caller gives up counts.
    """
    at = math.inf if request.begin_by is None else request.begin_by
    if request.timeout is not None and not (isinstance(request, Run) and request.commits):
        at = min(at, now() + request.timeout)
    return Deadline(at, request.timeout)


#: Seconds of silence after which the transaction of a caller that renews its lease is taken for lost: it was stopped,
#: or the network no longer delivers anything and nobody says so.
SILENCE_TIMEOUT = 15.0
_RENEWALS = 3


def renewal_interval() -> float:
    """Seconds between two renewals of a lease in which a transaction is open."""
    return SILENCE_TIMEOUT / _RENEWALS


def transaction_timeout(idle_timeout: float | None, *, idle: float, renews: bool) -> float | None:
    """Seconds until a transaction is rolled back unless its caller says something; None if it is not.

    ``idle`` is for how long it has executed nothing: renewals do not keep a forgotten transaction open.
    """
    left = None if idle_timeout is None else max(0.0, idle_timeout - idle)
    if not renews:
        return left
    return SILENCE_TIMEOUT if left is None else min(left, SILENCE_TIMEOUT)
