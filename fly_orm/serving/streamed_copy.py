"""A COPY that runs while its caller sends or takes the data in pieces, a request each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..deadline import Deadline
from ..postgres.running_statement import CANCEL_TIMEOUT
from ..protocol.messages import Copy, Copying, Done, Run
from .copy_files import CopyInput, CopyOutput
from .lease import Lease


class StreamedCopy:
    """Runs a request on a thread of its own, since the driver returns from a COPY only once all of it is done.

    One thread at a time calls the other methods. The lease must not be used otherwise until :meth:`go_on` has returned
    something else than Copying, or raised, or the COPY that was abandoned has ended.
    """

    def __init__(self, lease: Lease, run: Run, deadline: Deadline, file: CopyInput | CopyOutput) -> None:
        """Begin, before the deadline; RuntimeError if no thread can be started."""
        self._lease = lease
        self._file = file
        self._changed = file.changed
        self._outcome: Done | Copying | BaseException | None = None
        self._on_end: Callable[[], None] = lambda: None
        threading.Thread(target=self._work, args=(run, deadline), name="fly_orm copy", daemon=True).start()

    def begin(self, deadline: Deadline) -> Copying | Done:
        """The reply to the first request; see :meth:`go_on`."""
        with self._changed:
            return self._reply(deadline)

    def go_on(self, copy: Copy, deadline: Deadline) -> Copying | Done:
        """The reply to a request that goes on with the COPY.

        If the COPY stands still until the deadline, it is cancelled, and the reply has the error. So long as data
        flows, it may take any time. Raises what :meth:`.Lease.run` raises.
        """
        with self._changed:
            self._file.go_on(copy)
            return self._reply(deadline)

    def abandon(self, on_end: Callable[[], None]) -> None:
        """Cancel the COPY, and call ``on_end`` once it has ended, perhaps on its thread. Returns at once."""
        with self._changed:
            self._file.abort()
            ended = self._outcome is not None
            self._on_end = on_end
        if ended:
            on_end()
        else:
            self._lease.time_out()

    def _work(self, run: Run, deadline: Deadline) -> None:
        outcome: Done | Copying | BaseException
        try:
            outcome = self._lease.run(run, deadline, self._file)
        except BaseException as error:  # noqa: BLE001  # the thread that talks to the caller raises it
            outcome = error
        with self._changed:
            self._outcome = outcome
            on_end = self._on_end
            self._changed.notify_all()
        on_end()

    def _reply(self, deadline: Deadline) -> Copying | Done:
        left = deadline.remaining()
        if not self._changed.wait_for(self._can_reply, None if left is None else left / 2):
            self._file.hurry()
            if not self._changed.wait_for(self._can_reply, deadline.remaining()):
                self._cancel()
        if self._outcome is None:
            return self._file.reply()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def _can_reply(self) -> bool:
        return self._outcome is not None or self._file.ready

    def _cancel(self) -> None:
        """Cancel the COPY, which has not moved for too long, and wait for its end."""
        while self._outcome is None:
            self._lease.time_out()  # again, because the statement may not have begun yet
            self._file.abort()
            self._changed.wait_for(lambda: self._outcome is not None, CANCEL_TIMEOUT)
