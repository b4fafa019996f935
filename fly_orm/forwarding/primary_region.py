"""The region whose nodes accept requests for the primary: the one in the settings, or one found after a failover."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple

from ..deadline import now
from ..errors import FlyOrmError
from ..topology import Node
from .failures import Failures, causes

log = logging.getLogger("fly_orm")

#: Seconds after a search of the other regions that found no primary until the next one. Each search that finds none
#: doubles the interval…
FIRST_INTERVAL = 1.0
#: …up to this. A promoted server is found within this time.
LONGEST_INTERVAL = 5.0


class Search(NamedTuple):
    """A search of the other regions that found no primary."""

    at: float
    """When it ended, on the monotonic clock."""
    found: Sequence[FlyOrmError]
    """What it found instead."""

    @property
    def age(self) -> float:
        """Seconds since then."""
        return now() - self.at


class PrimaryRegion:
    """The region to which this process sends requests for the primary. Thread-safe.

    If the nodes of the primary region do not have the primary, other regions are searched for it. The region that
    accepts a request is remembered until another one accepts one instead.
    """

    def __init__(self, configured: str, database: str | None = None) -> None:
        """``database`` is the one whose primary it is; None if requests need the primaries of all."""
        self.configured = configured
        """The name of the primary region in the settings."""
        self.database = database
        self.wanted = "the primaries of all databases" if database is None else f"the primary of {database!r}"
        """What requests are for, in messages."""
        self._lock = threading.Lock()
        self._remembered: str | None = None
        self._interval = FIRST_INTERVAL
        self._next_search = 0.0
        self.last_search: Search | None = None
        """The last search, unless a request has been accepted since."""
        self._here = False

    @property
    def current(self) -> str:
        """The region that last accepted a request, or else the configured one."""
        return self._remembered or self.configured

    @property
    def is_usual(self) -> bool:
        """Whether the configured region has accepted the last request, and no other one was searched since."""
        return self._remembered is None and self.last_search is None

    @property
    def regions(self) -> list[str]:
        """The regions that every request is sent to, in the order to try them."""
        return list(dict.fromkeys([self.current, self.configured]))

    def begin_search(self) -> bool:
        """Whether a request may search the other regions now. Searches that find nothing make the next ones rarer."""
        with self._lock:
            if now() < self._next_search:
                return False
            if self.last_search is not None:
                self._next_search = now() + self._interval
            return True

    def searched(self, found: Sequence[FlyOrmError]) -> None:
        """Note that a search has found no primary, but failed with these errors."""
        with self._lock:
            self.last_search = Search(now(), found)
            self._next_search = now() + self._interval
            self._interval = min(2 * self._interval, LONGEST_INTERVAL)

    def accepted(self, region: str, failures: Failures) -> None:
        """Note that a node of this region has accepted a request, after these failures elsewhere."""
        if region == self.current and self.last_search is None:  # nearly always
            return
        with self._lock:
            before = self.current
            self._remembered = None if region == self.configured else region
            self._interval, self._next_search, self.last_search = FIRST_INTERVAL, 0.0, None
            self._here = False
        if region == before:
            return
        back = "its nodes accept them again" if region == self.configured else "its nodes could not be reached lately"
        why = causes(failures.of([before, self.configured])) or back
        level = logging.INFO if region == self.configured else logging.WARNING
        log.log(
            level,
            "requests for %s go to region %r from now on, not to %r: %s",
            self.wanted,
            region,
            before,
            why,
            extra={
                "event": "primary_elsewhere",
                "wanted": self.wanted,
                "region": region,
                "previous_region": before,
                "problem": str(why),
            },
        )

    def is_back(self, node: Node) -> None:
        """Return to the configured region, one of whose nodes has the primary."""
        with self._lock:
            before, self._remembered = self._remembered, None
        if before is not None:
            log.info(
                "requests for the primary go to region %r again, not to %r: %s has it",
                node.region,
                before,
                node,
                extra={"event": "primary_back", "region": node.region, "previous_region": before, "node": str(node)},
            )

    def is_here(self, error: FlyOrmError) -> None:
        """Note that no node accepts calls for the primary, as this error says, but that this process has one."""
        with self._lock:
            noted, self._here = self._here, True
        if not noted:
            log.warning(
                "functions for the primary run in this process, whose server is the primary: %s",
                error,
                extra={"event": "functions_here", "problem": str(error)},
            )
