"""Deletes the rows of the ledger that nobody will ask for any more."""

from __future__ import annotations

import itertools
from typing import Any

from ..postgres.cursors import text_cursor
from .table import TABLE

#: Seconds for which rows are kept by default: a day.
KEEP = 86400.0
#: The least. A request that is still on its way must meet the row that voids it.
KEEP_AT_LEAST = 3600.0
#: Rows in one short transaction.
BATCH = 1000
#: Held by the one that prunes, so that several nodes do not do the same work.
_LOCK = "SELECT pg_catalog.pg_try_advisory_xact_lock(7146352061848)::text"
_DELETE = f"""DELETE FROM {TABLE} WHERE key IN (
    SELECT key FROM {TABLE} WHERE executed_at < pg_catalog.now() - pg_catalog.make_interval(secs => %s)
    LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"""  # noqa: S608  # constants


def prune(connection: Any, keep: float = KEEP, *, batches: int | None = None) -> int:
    """Delete the rows that are older than ``keep`` seconds, and return how many there were.

    In short transactions, over a driver connection in autocommit; at most so many ``batches``. Does nothing while
    another process prunes.
    """
    deleted = 0
    for _ in itertools.count() if batches is None else range(batches):
        count = _prune_some(connection, keep)
        deleted += count
        if count < BATCH:
            break
    return deleted


def _prune_some(connection: Any, keep: float) -> int:
    with text_cursor(connection) as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(_LOCK)
            count = 0
            if cursor.fetchone()[0] == "true":
                cursor.execute(_DELETE, (keep,))
                count = cursor.rowcount
            cursor.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise
    return count
