"""The local server as a primary: its position after what was done there directly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import psycopg2

from ..concurrency.pool import PoolTimeout
from ..concurrency.timer import Timer, TimerClosed
from ..deadline import Deadline, now
from ..errors import NotPrimary, Refused
from ..position import UNKNOWN, History, Position
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.primary_pool import PrimaryPool
from ..postgres.profile import Profile
from ..sessions.activity import Activity

log = logging.getLogger("fly_orm")

#: Seconds that the question may take. The work itself is done by then, and its caller waits for the answer.
ASK_TIMEOUT = 2.0
#: For this many seconds fly_orm believes that certain functions and views write nothing. Definitions rarely change.
DEFINITIONS_TTL = 10.0
#: Connections that are kept for asking.
_POOL_SIZE = 2
#: Connections to try until one reaches the current primary.
_TRIES = 4
_MOST_REMEMBERED = 1000
_PROFILE = Profile("UTF8", ())


class LocalPrimary:
    """Asks the primary of one database, over connections of its own. Thread-safe."""

    def __init__(self, connect: Callable[[], Any], timer: Timer, newest: Callable[[], Collection[History]]) -> None:
        """``newest`` returns the newest timelines that this process has seen."""
        self._connect = connect
        self._newest = newest
        self._timer = timer
        self._lock = threading.Lock()
        self._pool: PrimaryPool | None = None
        self._harmless: dict[frozenset[str], float] = {}
        """The functions called by reads that wrote nothing, and when that has to be asked again (monotonic)."""

    def position(self, database: str, activity: Activity) -> Position | None:
        """A position at which a replica shows what was committed; None if nothing was written.

        UNKNOWN if something may have been written and the primary cannot be asked. Raises NotPrimary if the address
        leads to replicas or to a superseded primary.
        """
        if not activity.wrote and (not activity.read or self._is_harmless(activity)):
            return None
        pool = self._opened(database)
        try:
            connection = self._acquire(pool)
            try:
                with self._timer.limit(ASK_TIMEOUT, connection.break_off):
                    return self._ask(connection, activity)
            finally:
                pool.release(connection)
        except NotPrimary:
            raise
        except (psycopg2.Error, PoolTimeout, Refused, TimerClosed) as error:
            log.warning(
                "could not ask the primary of %r for its position: %s",
                database,
                str(error).strip(),
                extra={"event": "position_unknown", "database": database, "problem": str(error).strip()},
            )
            return UNKNOWN

    def _acquire(self, pool: PrimaryPool) -> PrimaryConnection:
        """A connection to the current primary. The address may lead to other servers too."""
        deadline = Deadline.after(ASK_TIMEOUT)
        for _ in range(_TRIES - 1):
            with suppress(NotPrimary):
                return pool.acquire(_PROFILE, deadline, self._newest())
        return pool.acquire(_PROFILE, deadline, self._newest())

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _opened(self, database: str) -> PrimaryPool:
        with self._lock:
            if self._pool is None:
                self._pool = PrimaryPool(database, self._connect, max_size=_POOL_SIZE)
            return self._pool

    def _ask(self, connection: PrimaryConnection, activity: Activity) -> Position | None:
        if not activity.wrote and not connection.reads_may_write(activity.function_names):
            if len(self._harmless) >= _MOST_REMEMBERED:
                self._harmless.clear()
            self._harmless[frozenset(activity.function_names)] = now() + DEFINITIONS_TTL
            return None
        return connection.wal.commit_position(asynchronous=activity.asynchronous)

    def _is_harmless(self, activity: Activity) -> bool:
        return self._harmless.get(frozenset(activity.function_names), 0.0) > now()
