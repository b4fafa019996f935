"""One request and its outcome, shared by the caller's thread and the connection's."""

from __future__ import annotations

import threading

from fly_orm.transport import Deadline, Latch


class Exchange:
    """Settled once, by what comes first: the reply, the end of the channel, or the caller's deadline. Thread-safe."""

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.problem = ""
        self.may_be_executed = False
        """False if the request was certainly not executed."""
        self._lock = threading.Lock()
        self._settled = Latch()

    def may_finish(self) -> bool:
        """Whether the last part of the request may be sent, after which it may be executed."""
        with self._lock:
            if self._settled.is_set():
                return False
            self.may_be_executed = True
            return True

    def succeed(self, reply: bytes) -> None:
        """Settle it with a reply."""
        with self._lock:
            if not self._settled.is_set():
                self.reply = reply
                self._settled.set()

    def fail(self, problem: str, *, undelivered: bool = False) -> None:
        """Settle it without a reply. ``undelivered`` says that the request was certainly not executed."""
        with self._lock:
            if not self._settled.is_set():
                self.problem = problem
                self.may_be_executed = self.may_be_executed and not undelivered
                self._settled.set()

    def wait(self, deadline: Deadline) -> None:
        """Return once it is settled, which it is by the deadline."""
        if not self._settled.wait(deadline.remaining()):
            self.fail(f"timed out (time limit: {deadline})")
