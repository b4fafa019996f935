"""The newest timelines that this process has seen, by which nodes tell a superseded primary from the current one."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from ..concurrency.forks import abandon_in_children
from ..position import History

log = logging.getLogger("fly_orm")

#: Systems per database that are remembered. A database moves to another system only when it is restored elsewhere.
_MOST_SYSTEMS = 4
#: Superseded primaries that are remembered, so that each is reported once.
_MOST_REPORTS = 64


class _Sighting(NamedTuple):
    timeline: int
    where: str


_NOWHERE = _Sighting(0, "")


class Fence:
    """By database and system, the newest timeline that this process has seen, and where. Thread-safe.

    After a promotion, the old primary may still be alive. Requests carry what is known here, so that a node whose
    primary is on an older timeline declines them before it executes anything. ``where`` completes "seen …" in the log.
    """

    def __init__(self) -> None:
        self.version = 0
        """Changes whenever a newer timeline is seen."""
        self._lock = threading.Lock()
        self._newest: dict[str, dict[int, _Sighting]] = {}
        self._met: dict[tuple[str, int], int] = {}
        """By database and system, the newest timeline of a primary that has executed a request of this process."""
        self._reported: dict[tuple[str, History, str], None] = {}
        abandon_in_children(self)

    def newest(self, database: str) -> list[History]:
        """The newest timeline of each system that the database was seen on."""
        # The copy is made in one step, because another thread may add a system.
        seen = list(self._newest.get(database, {}).items())
        return [History(system, sighting.timeline) for system, sighting in seen]

    def saw(self, database: str, history: History | None, where: str) -> None:
        """Note a timeline that a replica follows; None if it is not known."""
        if history is None or self._known(database, history).timeline >= history.timeline:
            return
        with self._lock:
            systems = self._newest.setdefault(database, {})
            if history.system not in systems and len(systems) >= _MOST_SYSTEMS:
                del systems[next(iter(systems))]
            if self._known(database, history).timeline < history.timeline:
                systems[history.system] = _Sighting(history.timeline, where)
                self.version += 1

    def met(self, database: str, history: History | None, where: str) -> None:
        """Note the timeline of a primary, and report it if it is not the newest one; None if it is not known."""
        if history is None:
            return
        self.saw(database, history, where)
        with self._lock:
            met = self._met.get((database, history.system), 0)
            self._met[database, history.system] = max(met, history.timeline)
        if (newer := self.newer(database, history)) is not None:
            self.report(database, history, where, newer)

    def expects(self, database: str, history: History) -> bool:
        """Whether a primary on this timeline, the newest one, has executed a request before, so that it is no news."""
        met = self._met.get((database, history.system))
        return met == history.timeline == self._known(database, history).timeline

    def newer(self, database: str, history: History) -> str | None:
        """A newer timeline of the system, and where it was seen, for messages; None if none was seen."""
        seen = self._known(database, history)
        return f"timeline {seen.timeline}, which was seen {seen.where}" if seen.timeline > history.timeline else None

    def has_met_older(self, database: str, history: History) -> bool:
        """Whether a primary on an older timeline of the system has executed a request of this process."""
        return 0 < self._met.get((database, history.system), 0) < history.timeline

    def abandon(self) -> None:
        """Keep what is known in a forked process, with a lock of its own."""
        self._lock = threading.Lock()
        abandon_in_children(self)

    def _known(self, database: str, history: History) -> _Sighting:
        systems = self._newest.get(database)
        return _NOWHERE if systems is None else systems.get(history.system, _NOWHERE)

    def report(self, database: str, older: History, where: str, newer: str) -> None:
        """Log an error about a primary that was superseded, once for each of them and each newer timeline.

        ``newer`` describes the newer timeline, as :meth:`newer` does.
        """
        report = database, older, f"{where} {newer}"
        with self._lock:
            if report in self._reported:
                return
            while len(self._reported) >= _MOST_REPORTS:
                del self._reported[next(iter(self._reported))]
            self._reported[report] = None
        log.error(
            "the database %r has two primaries: there is %s, and the older timeline %d %s; stop the server on the "
            "older timeline, or let it rejoin as a replica, since what is written to it is lost",
            database,
            newer,
            older.timeline,
            where,
            extra={"event": "two_primaries", "database": database, "timeline": older.timeline},
        )
