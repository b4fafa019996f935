"""The server that this process connects to for one database: a replica or a primary."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

import psycopg2

from ..concurrency.timer import Timer, TimerClosed
from ..errors import NotAReplica, NotPrimary
from ..position import UNKNOWN, History, Position, later
from ..postgres.starting import Start
from ..sessions.activity import Activity
from ..sessions.served import Route, ServedHere
from .detour import Detour
from .instance import THE_PRIMARY, Instance
from .primary import LocalPrimary
from .replica import LocalReplica
from .starting import Starts
from .unreported import IDLE_TIMEOUT, read_unreported

log = logging.getLogger("fly_orm")


class LocalServer:
    """What is known about the server, and the connections over which it is asked. Thread-safe."""

    def __init__(self, waiter: str, connect: Callable[[], Any], newest: Callable[[], Collection[History]]) -> None:
        """``newest`` returns the newest timelines of the database that this process has seen."""
        self.at_primary: bool | None = None
        """Whether the last connection found a primary; None before the first. Another one may find another server."""
        self.detour = Detour(connect)
        self._waiter = waiter
        self._connect = connect
        self._newest = newest
        self._lock = threading.Lock()
        self._timer = Timer("the timer of a local server")
        self._replica: LocalReplica | None = None
        self._primary: LocalPrimary | None = None
        self._unreported: dict[str, str] | None = None
        self.idle_session_timeout = "0"
        """In milliseconds; 0 if the server ends no idle session, or is older than PostgreSQL 14."""
        self.starts = Starts()
        """What the sessions of this server begin with."""
        self._served: dict[tuple[str | None, Route], ServedHere] = {}

    @property
    def replica(self) -> LocalReplica:
        """The server as a replica; created on first use."""
        if (replica := self._replica) is not None:  # without the lock, for all requests but the first
            return replica
        with self._lock:
            if self._replica is None:
                self._replica = LocalReplica(self._waiter, self._connect, self._timer)
            return self._replica

    @property
    def primary(self) -> LocalPrimary:
        """The server as a primary; created on first use."""
        with self._lock:
            if self._primary is None:
                self._primary = LocalPrimary(self._connect, self._timer, self._newest)
            return self._primary

    def served_by(self, instance: Instance | None, route: Route = Route.LOCAL) -> ServedHere:
        """What :func:`fly_orm.why` shows of the statements that a server executes; None stands for an unknown one."""
        return self.served_at(None if instance is None else str(instance), route)

    def served_at(self, server: str | None, route: Route = Route.LOCAL) -> ServedHere:
        """The same for a server that is known by its address only."""
        return self._served.setdefault((server, route), ServedHere(server, route))

    def begin(self, connection: Any) -> tuple[Instance | None, Start]:
        """The server that a new connection in autocommit has reached, and what its session has begun with.

        What writes over it need besides is asked for, too: by then, a replica may be gone.
        """
        begun = self.starts.begin(connection)
        self.unreported(connection)
        return begun

    def unreported(self, connection: Any) -> dict[str, str]:
        """The server's settings that it does not report to libpq; read once, over this connection."""
        if self._unreported is None:
            found = read_unreported(connection)
            self.idle_session_timeout = found.pop(IDLE_TIMEOUT, "0")
            self._unreported = found
        return self._unreported

    def position_after(
        self, database: str, activity: Activity, instances: Collection[Instance | None] = ()
    ) -> Position | None:
        """A position that covers the activity; None if it wrote nothing, UNKNOWN if a server cannot be asked.

        ``instances`` are the servers that were used, THE_PRIMARY among them if something ran there directly. A server
        behind a pooler is None, and cannot be asked.
        """
        try:
            if THE_PRIMARY in instances:
                return self.primary.position(database, activity)  # which is ahead of everything that replicas show
            try:
                return self._shown(instances)
            except NotAReplica:  # it was promoted
                return self.primary.position(database, activity)
        except (psycopg2.Error, NotAReplica, NotPrimary, TimerClosed) as error:
            log.warning(
                "could not ask the server of %r for its position: %s",
                database,
                str(error).strip(),
                extra={"event": "position_unknown", "database": database, "problem": str(error).strip()},
            )
            return UNKNOWN

    def _shown(self, instances: Collection[Instance | None]) -> Position:
        if None in instances:
            raise psycopg2.OperationalError("behind a connection pooler, it is not known which servers were read")
        position = None
        for instance in instances or (None,):
            position = later(position, self.replica.position(instance))
        return position or UNKNOWN

    def close(self) -> None:
        """Close the connections."""
        for server in (self._replica, self._primary):
            if server is not None:
                server.close()
        self._timer.close()
