"""Tells nodes that the Postgres sessions which hold state for connections are still wanted.

A node ends a lease that has been idle for some time: its caller may hang. A caller that is only silent, such as a
worker that holds a lock, must not lose its session for that. So as long as its connection is open and its process runs,
the lease is renewed in the background. Nobody renews the lease of a frozen process, nor an open transaction, which may
hold row locks because it was forgotten.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from ..concurrency.forks import abandon_in_children
from ..deadline import now

#: Seconds between two renewals at most. A node that ends idle leases sooner gets three in that time.
INTERVAL = 15.0
_PER_TIMEOUT = 3
_SHORTEST = 0.05
#: Seconds after which the thread notices that a connection no longer needs it.
_LOOK_INTERVAL = 1.0


class Renewable(Protocol):
    """A connection that may hold state on the primary."""

    @property
    def has_state(self) -> bool:
        """Whether it does."""
        ...

    def renew(self) -> None:
        """Renew its lease. May take as long as a request."""
        ...


def interval(idle_timeout: float | None) -> float:
    """Seconds between two renewals, where a lease ends after ``idle_timeout`` seconds; None is no limit."""
    return INTERVAL if idle_timeout is None else min(INTERVAL, max(idle_timeout / _PER_TIMEOUT, _SHORTEST))


class Heartbeats:
    """Renews leases, from a thread that runs while there are any. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Forget the leases, which are the parent's in a forked child."""
        self._changed = threading.Condition()
        self._next: dict[weakref.ref[Renewable], tuple[float, float]] = {}
        """When each is due (monotonic), and the seconds until it is due again."""
        self._thread: threading.Thread | None = None
        abandon_in_children(self)

    def keep(self, connection: Renewable, seconds: float) -> None:
        """Renew the lease of a connection every so many seconds, for as long as it has state."""
        with self._changed:
            self._next[weakref.ref(connection)] = now() + seconds, seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fly_orm heartbeat", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while (due := self._take_due()) is not None:
            for connection in due:
                # Each on a thread of its own, since a node out of reach must not hold up the others.
                threading.Thread(target=connection.renew, name="fly_orm renewal", daemon=True).start()
            del due
            with self._changed:
                self._changed.wait(self._pause())

    def _take_due(self) -> list[Renewable] | None:
        """The connections to renew now; None, and the thread ends, if there is none left."""
        with self._changed:
            due = []
            for reference, (at, seconds) in list(self._next.items()):
                connection = reference()
                if connection is None or not connection.has_state:
                    del self._next[reference]
                elif at <= now():
                    self._next[reference] = now() + seconds, seconds
                    due.append(connection)
            if self._next:
                return due
            self._thread = None
            return None

    def _pause(self) -> float:
        """Seconds until the next look."""
        first = min((at for at, _ in self._next.values()), default=now())
        return min(max(first - now(), 0.0), _LOOK_INTERVAL)


heartbeats = Heartbeats()
