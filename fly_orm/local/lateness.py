"""An incident: a replica that is late. One wait pays for it; nobody waits again before the replica has caught up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..deadline import now
from ..observing.events import ReplicaCaughtUp, ReplicaLate
from ..observing.listeners import emit, listeners
from ..position import Position, later
from .repetition import Repetition

log = logging.getLogger("fly_orm")

#: Seconds after which a replica that did not answer is asked again.
RETRY_INTERVAL = 0.25
#: After a look that others wanted to take too, nobody looks for so many times as long as it took, or so many seconds.
#: With many writers there would always be one that looks, and keeps the others from working.
_PAUSE_FACTOR = 20
_LONGEST_PAUSE = 0.2


class Lag(NamedTuple):
    """How far a replica is behind."""

    missing_bytes: int
    """The bytes of WAL between what it has replayed and the newest position that was wanted of it; at least 0."""
    seconds: float | None
    """How long ago the last transaction that it has replayed was committed, by the clocks of both servers; None if it
    has replayed none since it started. On a primary that commits nothing this grows, although nothing is missing."""

    def __str__(self) -> str:
        lacks = f"it lacks {self.missing_bytes} bytes of WAL"
        if self.seconds is None:
            return lacks
        return f"{lacks}, and the last transaction that it has replayed was committed {self.seconds:.1f} s ago"


#: Measures the lag behind a position; None if the server does not answer.
MeasureLag = Callable[[Position], Lag | None]


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

    def __init__(self, server: object) -> None:
        """``server`` is what the log calls the server; None for one behind a pooler, which may be another each time."""
        self._server = None if server is None else str(server)
        self._name = "this region's replica" if server is None else f"this region's replica ({server})"
        self._repetition = Repetition() if server is None else None
        self._lock = threading.Lock()
        self._looker: object = None
        """Stands for the caller that looks, if there is one."""
        self._since: float | None = None
        self._timeout: float | None = None
        self._newest: Position | None = None
        self._target: Wanted | None = None
        self._retry_at = 0.0
        self._crowded = False
        """Whether somebody has had to do without a look since the last one began."""

    @property
    def is_late(self) -> bool:
        """Whether a wait has run out, and the server has not caught up since."""
        return self._since is not None

    @property
    def newest(self) -> Position | None:
        """The newest position that was wanted of it while it is late; None if it is not late."""
        return self._newest if self.is_late else None

    def begin(self, position: Position, timeout: float | None, why: object, measure: MeasureLag | None) -> None:
        """Note that a wait of ``timeout`` seconds has run out; ``measure`` is None if the server could not be asked."""
        with self._lock:
            self._retry_at = now() + RETRY_INTERVAL if measure is None else 0.0
            self._timeout = timeout
            self._newest = later(self._newest, position)
            if self._since is not None:
                return
            self._since, self._target = now(), Wanted(position, now())
            if self._repetition is not None:
                self._repetition.begin(timeout)
        lag = None if measure is None else measure(position)
        missing, seconds = (None, None) if lag is None else lag
        reason = " ".join(str(why).split())  # libpq's messages have several lines
        log.warning(
            "%s is late: %s%s; until it has caught up, nobody waits for it, and what it lacks is read on the primary",
            self._name,
            reason,
            "" if lag is None else f"; {lag}",
            extra={
                "event": "replica_late",
                "server": self._server,
                "problem": reason,
                "missing_bytes": missing,
                "lag": seconds,
            },
        )
        if listeners.replica_late:
            emit(ReplicaLate(server=self._server, timeout=timeout, missing_bytes=missing, lag=seconds, why=reason))

    @contextmanager
    def look(self) -> Iterator[bool]:
        """A block in which the caller alone may ask the server; False if it must not, and has to do without."""
        me, started = object(), now()
        try:
            with self._lock:
                if self._looker is None and started >= self._retry_at:
                    self._looker = me
            yield self._looker is me
        finally:
            if self._looker is not me:
                self._crowded = True
            else:
                pause = min(_LONGEST_PAUSE, _PAUSE_FACTOR * (now() - started)) if self._crowded else 0.0
                self._retry_at, self._crowded = max(self._retry_at, now() + pause), False
                self._looker = None

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

    @property
    def may_end(self) -> bool:
        """Whether the incident may be over, rather than begin again with the answer of another server."""
        return self._repetition is None or self._repetition.may_end

    def unanswered(self) -> None:
        """Note that the server did not answer a look."""
        self._retry_at = now() + RETRY_INTERVAL

    def end(self, measure: MeasureLag) -> None:
        """Note that the server has caught up."""
        late = self._end()
        if late is not None:
            log.info(
                "%s has caught up after %.1f s%s",
                self._name,
                late.seconds,
                _clause(measure, late.newest),
                extra={"event": "replica_caught_up", "server": self._server, "seconds": late.seconds},
            )
            self._tell_of_end(late, restarted=False)

    def replaced(self) -> None:
        """Note that the server was restarted, or that its address leads to another one."""
        late = self._end()
        if late is not None:
            log.info(
                "%s, which was late for %.1f s, was restarted; it is waited for again",
                self._name,
                late.seconds,
                extra={"event": "replica_replaced", "server": self._server, "seconds": late.seconds},
            )
            self._tell_of_end(late, restarted=True)

    def _tell_of_end(self, late: _Late, *, restarted: bool) -> None:
        if listeners.replica_caught_up:
            emit(ReplicaCaughtUp(server=self._server, seconds=late.seconds, restarted=restarted))

    def _end(self) -> _Late | None:
        with self._lock:
            if self._since is None:
                return None
            ended = _Late(now() - self._since, self._newest)
            self._since = self._newest = self._target = None
            if self._repetition is not None:
                self._repetition.end()
            return ended


class _Late(NamedTuple):
    seconds: float
    newest: Position | None


def _clause(measure: MeasureLag | None, wanted: Position | None) -> str:
    lag = None if measure is None or wanted is None else measure(wanted)
    return "" if lag is None else f"; {lag}"
