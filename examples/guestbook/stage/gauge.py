"""Asks the servers how far they are, a few times a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg2

from .geography import REGIONS
from .history import History
from .lag import Positions
from .servers import Servers

_EVERY = 0.25
_POSITION = """
    SELECT replica, CASE WHEN replica THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn
    FROM pg_is_in_recovery() AS replica
"""


class Gauge:
    """Measures the lag of the replicas on a thread of its own, until it is closed."""

    def __init__(self, servers: Servers, history: History) -> None:
        self._servers = servers
        self._history = history
        self._positions = Positions()
        self._primary = servers.primary
        self._connections: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauge", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Measure nothing more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            self._measure(monotonic)
        for connection in self._connections.values():
            connection.close()

    def _measure(self, clock: Callable[[], float]) -> None:
        primary = self._servers.primary
        if primary != self._primary:
            self._primary = primary
            self._positions.clear()
        here = self._ask(primary)
        if here is not None and not here[0]:
            self._positions.note(clock(), int(here[1]))
        for region in REGIONS:
            there = None if region == primary else self._ask(region)
            self._history.lags(region, self._positions.lag(clock(), int(there[1])) if there and there[0] else None)

    def _ask(self, region: str) -> Any:
        """Whether the server of a region is a replica, and its position; None if it does not answer."""
        try:
            if region not in self._connections:
                self._connections[region] = self._servers.by_region[region].connect()
            with self._connections[region].cursor() as cursor:
                cursor.execute(_POSITION)
                return cursor.fetchone()
        except psycopg2.Error:
            connection = self._connections.pop(region, None)
            if connection is not None:
                connection.close()
            return None
