"""Emptying a database between two tests."""

from __future__ import annotations

from typing import Any

from psycopg2 import errors, sql

#: Seconds that a reset waits for transactions that a test has left open.
LOCK_TIMEOUT = 5

# A table without pages has never had a row, so that its sequence is unused, too.
_USED = """
    SELECT relnamespace::regnamespace::text, relname FROM pg_class
    WHERE relkind = 'r' AND relpersistence <> 't' AND pg_relation_size(oid) > 0
    AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""
_HOLDERS = """
    SELECT pid, coalesce(left(query, 200), '') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


def truncate(connection: Any, keep: frozenset[str] = frozenset()) -> None:
    """Empty the tables that have been used, and let their sequences begin again.

    ``keep`` are the names of tables that are left alone. RuntimeError, which names the transactions, if some are still
    open that use these tables.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USED)
        tables = [sql.Identifier(*row) for row in cursor.fetchall() if row[1] not in keep]
        if not tables:
            return
        cursor.execute(sql.SQL("SET lock_timeout TO {}").format(sql.Literal(f"{LOCK_TIMEOUT}s")))
        try:
            cursor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(tables)))
        except errors.LockNotAvailable:
            cursor.execute(_HOLDERS)
            holders = "; ".join(f"process {pid}: {query}" for pid, query in cursor.fetchall())
            raise RuntimeError(
                f"the tables could not be emptied within {LOCK_TIMEOUT} s, since a test has left a transaction open: "
                f"{holders or 'it has ended meanwhile'}"
            ) from None
