"""The server that this process connects to for one database, be it a replica or a primary."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from ..concurrency.timer import Timer, TimerClosed
from ..errors import NotAReplica, NotPrimary
from ..position import UNKNOWN, Position
from ..sessions.activity import Activity
from .primary import LocalPrimary
from .replica import LocalReplica
from .unreported import read_unreported

log = logging.getLogger("fly_orm")


class LocalServer:
    """What is known of it, and the connections by which it is asked; one per process. Thread-safe."""

    def __init__(self, waiter: str, connect: Callable[[], Any]) -> None:
        self.at_primary: bool | None = None
        """Whether it is a primary, as the last connection found; None before the first."""
        self._waiter = waiter
        self._connect = connect
        self._lock = threading.Lock()
        self._timer = Timer("fly_orm timer of a local server")
        self._replica: LocalReplica | None = None
        self._primary: LocalPrimary | None = None
        self._unreported: dict[str, str] | None = None

    @property
    def replica(self) -> LocalReplica:
        """The server as a replica; made on first use."""
        with self._lock:
            if self._replica is None:
                self._replica = LocalReplica(self._waiter, self._connect, self._timer)
            return self._replica

    @property
    def primary(self) -> LocalPrimary:
        """The server as a primary; made on first use."""
        with self._lock:
            if self._primary is None:
                self._primary = LocalPrimary(self._connect, self._timer)
            return self._primary

    def unreported(self, connection: Any) -> dict[str, str]:
        """The settings of the server that libpq is not told of; read once, over this connection."""
        if self._unreported is None:
            self._unreported = read_unreported(connection)
        return self._unreported

    def position_after(self, database: str, activity: Activity) -> Position | None:
        """A position that covers what was done here; None if that turns out to be nothing, UNKNOWN if it is not had."""
        try:
            if self.at_primary:
                try:
                    return self.primary.position(database, activity)
                except NotPrimary:  # any more
                    return self.replica.position()
            try:
                return self.replica.position()
            except NotAReplica:  # any more
                return self.primary.position(database, activity)
        except (psycopg2.Error, NotAReplica, NotPrimary, TimerClosed) as error:
            log.warning("the server of %r cannot be asked for its position: %s", database, str(error).strip())
            return UNKNOWN

    def close(self) -> None:
        """Close the connections."""
        for server in (self._replica, self._primary):
            if server is not None:
                server.close()
        self._timer.close()
