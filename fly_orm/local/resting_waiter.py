"""A waiter that has no connection while nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..concurrency.idle_end import IdleEnd
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import ReplicationTimeout
from ..lsn import LSN
from ..registry import make_waiter
from ..waiter import LSNWaiter


class RestingWaiter:
    """A waiter of any kind, which is closed when nobody has waited for some seconds, and made anew. Thread-safe."""

    def __init__(self, kind: str, connect: Callable[[], Any], timer: Timer) -> None:
        self._make: Callable[[], LSNWaiter] = lambda: make_waiter(kind, connect)
        self._idle = IdleEnd(timer, self._rest)
        self._lock = threading.Lock()
        self._waiter: LSNWaiter | None = self._make()  # now, so that a setting that is wrong is found
        self._users = 0
        self._closed = False

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``; see :class:`fly_orm.waiter.LSNWaiter`."""
        with self._in_use(lsn) as waiter:
            return waiter.wait(lsn, deadline)

    def check(self, version: int) -> None:
        """Raise ConfigurationError if the waiter cannot wait for servers of this version."""
        with suppress(ReplicationTimeout), self._in_use(LSN(0)) as waiter:  # it was closed
            if (check := getattr(waiter, "check", None)) is not None:
                check(version)

    def close(self) -> None:
        """Close the connections. Current and later waits raise ReplicationTimeout."""
        with self._lock:
            self._closed = True
            waiter = self._waiter
        if waiter is not None:
            waiter.close()

    @contextmanager
    def _in_use(self, lsn: LSN) -> Iterator[LSNWaiter]:
        with self._lock:
            if self._closed:
                raise ReplicationTimeout(f"committed at {lsn}, but the waiter for the replica was closed", lsn=lsn)
            self._users += 1
            if self._waiter is None:
                self._idle.opened()
                self._waiter = self._make()
            waiter = self._waiter
        try:
            yield waiter
        finally:
            with self._lock:
                self._users -= 1
            self._idle.used()

    def _rest(self) -> None:
        with self._lock:
            if self._users or self._closed:
                return
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.close()
