"""One request and what became of it, between the caller's thread and the link's."""

from __future__ import annotations

import threading

from fly_orm.transport import Deadline


class Exchange:
    """Settled once, by what comes first: the reply, the end of the channel, or the caller's deadline. Thread-safe."""

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.problem = ""
        self.executed = False
        """Whether it may have been: false is certain."""
        self._lock = threading.Lock()
        self._settled = threading.Event()

    def may_finish(self) -> bool:
        """Whether the last part of the request may be sent, after which it may be executed."""
        with self._lock:
            if self._settled.is_set():
                return False
            self.executed = True
            return True

    def succeed(self, reply: bytes) -> None:
        with self._lock:
            if not self._settled.is_set():
                self.reply = reply
                self._settled.set()

    def fail(self, problem: str, *, undelivered: bool = False) -> None:
        """There will be no reply, and if it is ``undelivered`` it is certain that nothing was executed."""
        with self._lock:
            if not self._settled.is_set():
                self.problem = problem
                self.executed = self.executed and not undelivered
                self._settled.set()

    def wait(self, deadline: Deadline) -> None:
        """It is settled."""
        remaining = deadline.remaining()
        if not self._settled.wait(None if remaining is None else min(remaining, threading.TIMEOUT_MAX)):
            self.fail(f"timed out (time limit: {deadline})")
