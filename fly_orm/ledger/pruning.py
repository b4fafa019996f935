"""Deletes the rows of the ledger that nobody will ask for any more."""

from __future__ import annotations

import itertools
from typing import Any

from ..postgres.cursors import text_cursor
from .table import TABLE

#: Seconds for which the rows of requests are kept by default: a day. Nobody asks for longer what became of one.
KEEP = 86400.0
#: Seconds for which the keys of operations are kept by default: thirty days. Job queues and webhooks may repeat an
#: operation for days.
KEEP_KEYS = 30 * KEEP
#: The least. A request that is still on its way must meet the row that voids it.
KEEP_AT_LEAST = 3600.0
#: Rows in one short transaction.
BATCH = 1000
#: Held by the one that prunes, so that several nodes do not do the same work.
_LOCK = "SELECT pg_catalog.pg_try_advisory_xact_lock(7146352061848)::text"
_DELETE = f"""DELETE FROM {TABLE} WHERE key IN (
    SELECT key FROM {TABLE} WHERE what IS {{}} AND executed_at < pg_catalog.now() - pg_catalog.make_interval(secs => %s)
    LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"""  # noqa: S608  # constants
_REQUESTS, _KEYS = _DELETE.format("NULL"), _DELETE.format("NOT NULL")


def prune(connection: Any, keep: float = KEEP, *, keep_keys: float = KEEP_KEYS, batches: int | None = None) -> int:
    """Delete old rows, and return how many there were.

    Those of requests are old after ``keep`` seconds, and the keys of operations after ``keep_keys`` seconds.

    In short transactions, over a driver connection in autocommit; at most so many ``batches`` of each kind. Does
    nothing while another process prunes.
    """
    deleted = 0
    for _ in itertools.count() if batches is None else range(batches):
        counts = [_prune_some(connection, delete, age) for delete, age in ((_REQUESTS, keep), (_KEYS, keep_keys))]
        deleted += sum(counts)
        if max(counts) < BATCH:
            break
    return deleted


def _prune_some(connection: Any, delete: str, age: float) -> int:
    with text_cursor(connection) as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(_LOCK)
            count = 0
            if cursor.fetchone()[0] == "true":
                cursor.execute(delete, (age,))
                count = cursor.rowcount
            cursor.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise
    return count
