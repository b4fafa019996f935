"""A result on its way to a caller, who takes it in pieces, a request each."""

from __future__ import annotations

from collections.abc import Callable

from ..deadline import Deadline
from ..protocol.messages import Copy, Copying, Done
from .lease import Lease


class StreamedResult:
    """A result of which the first piece was sent. One thread at a time."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def go_on(self, _copy: Copy, deadline: Deadline) -> Copying | Done:
        """The next piece, or the reply to the request. If there is none by the deadline, the statement is cancelled.

        Raises what :meth:`.Lease.run` raises.
        """
        return self._lease.go_on(deadline)

    def abandon(self, on_end: Callable[[], None]) -> None:
        """End the statement, and call ``on_end``."""
        self._lease.abandon()
        on_end()
