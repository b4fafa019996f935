"""Deletes old rows of the ledgers, now and then, while they are in use."""

from __future__ import annotations

import logging
import random
import threading

import psycopg2
from psycopg2 import errors

from ..concurrency.background import BackgroundTask
from ..concurrency.pool import PoolTimeout
from ..deadline import Deadline, now
from ..errors import FlyOrmError
from ..ledger.pruning import BATCH, prune
from ..postgres.primary_pool import PrimaryPool
from ..postgres.profile import Profile

log = logging.getLogger("fly_orm.node")

#: Seconds between two looks at one ledger.
INTERVAL = 600.0
#: Seconds until the next look if there were more rows than one look deletes.
BUSY_INTERVAL = 1.0
#: Batches in one look, so that it does not last.
_BATCHES = 20
_PROFILE = Profile("UTF8", ())


class LedgerPruner:
    """Prunes the ledgers that this node writes, one at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        """By database, when to look again (monotonic)."""
        self._task = BackgroundTask("fly_orm ledger pruner", self._prune)

    def used(self, pool: PrimaryPool) -> None:
        """Note that the ledger of a database was written, and prune it if that was not done for long."""
        with self._lock:
            due = self._next.setdefault(pool.name, now() + random.uniform(0, INTERVAL))  # noqa: S311  # no secret
            if now() < due:
                return
            self._next[pool.name] = now() + INTERVAL
        self._task.start(pool)

    def _prune(self, pool: PrimaryPool) -> None:
        try:
            connection = pool.acquire(_PROFILE, Deadline.after(1))
            try:
                deleted = prune(connection.raw, batches=_BATCHES)
            finally:
                pool.release(connection)
            if deleted >= _BATCHES * BATCH:
                self._next[pool.name] = now() + BUSY_INTERVAL
        except errors.InsufficientPrivilege as error:
            self._next[pool.name] = float("inf")
            log.warning(
                "this node's role cannot prune the ledger of %r, and does not try again: %s. Run "
                "`fly-orm ledger prune` regularly, as the owner of the table",
                pool.name,
                str(error).strip(),
                extra={"event": "ledger_not_pruned", "database": pool.name, "problem": str(error).strip()},
            )
        except (psycopg2.Error, PoolTimeout, FlyOrmError) as error:
            log.info(
                "could not prune the ledger of %r: %s",
                pool.name,
                str(error).strip(),
                extra={"event": "ledger_not_pruned", "database": pool.name, "problem": str(error).strip()},
            )
