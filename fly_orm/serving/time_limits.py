"""How long a request may take on a node."""

from __future__ import annotations

from ..deadline import Deadline
from ..protocol.messages import Call, Copy, Run


def node_deadline(request: Run | Copy | Call) -> Deadline:
    """The instant after which nothing of the request may begin, and what is running is cancelled.

    A COMMIT may run for longer than its caller waits, so only the instant at which its caller gives up counts.
    """
    gives_up = Deadline.at_instant(request.begin_by, request.timeout)
    if isinstance(request, Run) and request.commits:
        return gives_up
    return gives_up.or_earlier(Deadline.after(request.timeout))
