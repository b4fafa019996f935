"""Where this node's primaries are in their write-ahead log after a function has run."""

from __future__ import annotations

import logging
import threading

import psycopg2

from ..alarm import Alarm
from ..deadline import Deadline
from ..errors import Refused
from ..invocation import Touched
from ..lsn import LSN, UNKNOWN_LSN
from ..pool import PoolTimeout
from ..primary import PrimaryConnection, PrimaryPool, Profile
from ..routing.router import Router

log = logging.getLogger("fly_orm")

#: Seconds that asking one primary may take; the function has run by then, and its caller waits for the result.
ASK_TIMEOUT = 2.0
#: Connections per database that are kept for asking.
_POOL_SIZE = 2
_PROFILE: Profile = ("UTF8", ())


class Positions:
    """Asks the primary of each database, over connections that no function uses. Thread-safe."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._lock = threading.Lock()
        self._pools: dict[Router, PrimaryPool] = {}
        self._closed = False

    def after(self, router: Router, touched: Touched) -> LSN | None:
        """A position whose replay shows what a function has committed in a database; None if it wrote nothing.

        UNKNOWN_LSN if it may have written, and the primary cannot be asked.
        """
        if not (touched.wrote or touched.read):
            return None
        if self._closed:
            return UNKNOWN_LSN
        pool = self._pool(router)
        try:
            connection = pool.acquire(_PROFILE, Deadline.after(ASK_TIMEOUT))
            try:
                with self._alarm.limit(ASK_TIMEOUT, connection.break_off):
                    return _ask(connection, touched)
            finally:
                pool.release(connection)
        except (psycopg2.Error, PoolTimeout, Refused) as error:
            log.warning("the primary of %r cannot be asked for its position: %s", pool.name, str(error).strip())
            return UNKNOWN_LSN

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def _pool(self, router: Router) -> PrimaryPool:
        with self._lock:
            if router not in self._pools:
                self._pools[router] = PrimaryPool(router.name, router.connect, max_size=_POOL_SIZE)
            return self._pools[router]


def _ask(connection: PrimaryConnection, touched: Touched) -> LSN | None:
    if not touched.wrote and not connection.reads_may_write(touched.calls):
        return None
    return connection.commit_lsn(asynchronous=touched.asynchronous)
