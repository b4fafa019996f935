"""Tells nodes that the leases of connections which are silent are still wanted.

A node ends a lease whose caller has been silent for some time: it may hang, or the network may have lost it. A caller
that is only idle, such as a worker that holds a lock, must not lose its lease for that. So as long as its connection is
open and its process runs, the lease is renewed in the background. Nobody renews the lease of a frozen process. A node
ends an open transaction in which nothing was executed for long all the same: it may hold row locks because it was
forgotten.
"""

from __future__ import annotations

import math
import threading
import weakref
from contextlib import suppress
from typing import Protocol

from ..concurrency.forks import abandon_in_children
from ..concurrency.latch import Bell
from ..concurrency.threads import start_thread
from ..deadline import now

#: Seconds between two attempts to renew the same lease, at least.
_PAUSE = 0.05
#: Seconds after which the thread notices that a connection no longer needs it.
_LOOK_INTERVAL = 1.0
#: The same while a request of one is under way.
_BUSY_INTERVAL = 0.1


class Renewable(Protocol):
    """A connection that may have a lease."""

    @property
    def renewal_due(self) -> float | None:
        """When its lease has to be renewed (monotonic); None if it has none, infinity during a request."""
        ...

    def renew(self) -> None:
        """Renew its lease. May take as long as a request."""
        ...


class Heartbeats:
    """Renews leases, from a thread that runs while there are any. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Forget the leases, which are the parent's in a forked child."""
        self._lock = threading.Lock()
        self._changed = Bell()
        self._not_before: dict[weakref.ref[Renewable], float] = {}
        """The connections, and from when on each may be renewed."""
        self._thread: object = None
        """Stands for the thread, if there is one."""
        abandon_in_children(self)

    def keep(self, connection: Renewable) -> None:
        """Renew the lease of a connection for as long as it has one."""
        with self._lock:
            if is_new := (reference := weakref.ref(connection)) not in self._not_before:
                self._not_before[reference] = 0.0
            if self._thread is None:
                thread = object()
                start_thread(
                    lambda: self._run(thread), "fly_orm heartbeat"
                )  # if that fails, the next request tries again
                self._thread = thread
        if is_new:
            self._changed.ring()

    def _run(self, thread: object) -> None:
        while (due := self._take_due(thread)) is not None:
            for connection in due:
                # Each on a thread of its own, since a node out of reach must not hold up the others.
                with suppress(RuntimeError):  # no more threads can be started just now; it stays due
                    threading.Thread(target=connection.renew, name="fly_orm renewal", daemon=True).start()
            del due
            with self._lock:
                pause = self._pause()
            self._changed.wait(pause)

    def _take_due(self, thread: object) -> list[Renewable] | None:
        """The connections to renew now; None, and the thread ends, if there is none left."""
        with self._lock:
            if self._thread is not thread:  # the caller that started it was interrupted, and another one has begun
                return None
            due = []
            for reference, not_before in list(self._not_before.items()):
                connection = reference()
                if connection is None or (at := connection.renewal_due) is None:
                    del self._not_before[reference]
                elif max(at, not_before) <= now():
                    self._not_before[reference] = now() + _PAUSE
                    due.append(connection)
            if self._not_before:
                return due
            self._thread = None
            return None

    def _pause(self) -> float:
        """Seconds until the next look."""
        pause = _LOOK_INTERVAL
        for reference, not_before in self._not_before.items():
            if (connection := reference()) is not None and (at := connection.renewal_due) is not None:
                pause = min(pause, _BUSY_INTERVAL if at == math.inf else max(at, not_before) - now())
        return max(pause, 0.0)


heartbeats = Heartbeats()
