"""An incident: a replica that is late. One wait pays for it; nobody waits again before the replica has caught up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..deadline import now
from ..position import Position, later

log = logging.getLogger("fly_orm")

#: Seconds after which a replica that did not answer is asked again.
RETRY_INTERVAL = 0.25


class Wanted(NamedTuple):
    """A position, and when somebody wanted it, on the monotonic clock."""

    position: Position
    at: float


class Lateness:
    """Whether a server is late, and who looks whether it still is. Thread-safe.

    Without it, each write of each session would wait for the whole timeout while a replica is paused or far behind, and
    an incident on the replica would become an outage of the application.

    The server has caught up when it shows all that was wanted of it, or shows something soon enough after it was
    wanted: within the timeout, a wait would have succeeded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._since: float | None = None
        self._timeout: float | None = None
        self._newest: Position | None = None
        self._target: Wanted | None = None
        self._retry_at = 0.0

    @property
    def is_late(self) -> bool:
        """Whether a wait has run out, and the server has not caught up since."""
        return self._since is not None

    def begin(self, position: Position, timeout: float | None, why: object, *, answers: bool) -> None:
        """Note that a wait of ``timeout`` seconds has run out; ``answers`` says whether the server could be asked."""
        with self._lock:
            self._retry_at = 0.0 if answers else now() + RETRY_INTERVAL
            self._timeout = timeout
            self._newest = later(self._newest, position)
            if self._since is None:
                self._since, self._target = now(), Wanted(position, now())
                log.warning("%s; until it has caught up, nobody waits for it, and reads go to the primary", why)

    @contextmanager
    def look(self) -> Iterator[bool]:
        """A block in which the caller alone may ask the server; False if it must not, and has to do without."""
        allowed = False
        try:
            allowed = now() >= self._retry_at and self._looking.acquire(blocking=False)
            yield allowed
        finally:
            if allowed:
                self._looking.release()

    def want(self, position: Position) -> Position | None:
        """Note what a caller wants; returns all that was wanted before."""
        with self._lock:
            before, self._newest = self._newest, later(self._newest, position)
            return before

    def target(self, wanted: Position) -> Wanted:
        """What to look for, since when: the same until it is shown. In a look."""
        if self._target is None:
            self._target = Wanted(wanted, now())
        return self._target

    def reached(self, target: Wanted) -> bool:
        """Whether the server has caught up, since it shows the target; otherwise there will be another target."""
        self._target = None
        return self._timeout is None or now() - target.at <= self._timeout

    def unanswered(self) -> None:
        """Note that the server did not answer a look."""
        self._retry_at = now() + RETRY_INTERVAL

    def end(self) -> None:
        """Note that the server has caught up."""
        with self._lock:
            if self._since is not None:
                log.info("this region's replica has caught up after %.1f s", now() - self._since)
                self._since = self._newest = self._target = None
