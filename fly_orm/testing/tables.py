"""Emptying databases between two tests."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from psycopg2 import errors, sql

from .server import Server

#: Seconds that a reset waits for transactions that a test has left open.
LOCK_TIMEOUT = 5

_ONES_OWN = """
    relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""
#: Those that have pages, and so have had rows, and those whose sequence is in use, as by an INSERT that failed.
_TABLES = f"""
    SELECT nspname, relname, (SELECT root.relname FROM pg_class root WHERE root.oid = pg_partition_root(pg_class.oid))
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND {_ONES_OWN} AND (
        pg_relation_size(pg_class.oid) > 0 OR EXISTS (
            SELECT FROM pg_depend JOIN pg_class owned ON owned.oid = objid
            WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = pg_class.oid
            AND deptype IN ('a', 'i') AND owned.relkind = 'S'
            AND CASE owned.relpersistence WHEN 't' THEN NULL ELSE pg_sequence_last_value(owned.oid) END IS NOT NULL
        )
    )
"""  # noqa: S608  # both are put together of constants
#: Those in use that are not part of a table, with the tables that have them as a default.
_SEQUENCES = f"""
    SELECT nspname, relname, ARRAY(
        SELECT used_by.relname FROM pg_depend
        JOIN pg_attrdef ON pg_attrdef.oid = objid JOIN pg_class used_by ON used_by.oid = adrelid
        WHERE classid = 'pg_attrdef'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = pg_class.oid
    )
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'S' AND {_ONES_OWN} AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i')
    )
    AND CASE relpersistence WHEN 't' THEN NULL ELSE pg_sequence_last_value(pg_class.oid) END IS NOT NULL
"""  # noqa: S608
_OTHERS = """
    SELECT datname FROM pg_database
    WHERE datallowconn AND NOT datistemplate AND datname NOT IN ('postgres', current_database())
"""
_HOLDERS = """
    SELECT pid, coalesce(left(query, 200), '') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


def truncate_all(server: Server, name: str, keep: frozenset[str] = frozenset()) -> None:
    """Truncate, as :func:`truncate` does it, the database ``name`` and all others that tests have created."""
    with closing(server.connect(name)) as connection:
        truncate(connection, keep)
        with connection.cursor() as cursor:
            cursor.execute(_OTHERS)
            others = [other for (other,) in cursor.fetchall()]
    for other in others:
        with closing(server.connect(other)) as connection:
            truncate(connection, keep)


def truncate(connection: Any, keep: frozenset[str] = frozenset()) -> None:
    """Empty the tables that have been used, and let all sequences begin again.

    ``keep`` are the names of tables that are left alone, with their partitions and the sequences that number their
    rows, and of further sequences. RuntimeError, which names the transactions, if some are still open that use these
    tables.
    """
    with connection.cursor() as cursor:
        statements = _statements(cursor, keep)
        if not statements:
            return
        cursor.execute(sql.SQL("SET lock_timeout TO {}").format(sql.Literal(f"{LOCK_TIMEOUT}s")))
        try:
            for statement in statements:
                cursor.execute(statement)
        except errors.LockNotAvailable:
            raise RuntimeError(
                f"the tables could not be emptied within {LOCK_TIMEOUT} s, since a test has left a transaction open: "
                f"{holders(cursor) or 'it has ended meanwhile'}"
            ) from None


def holders(cursor: Any) -> str:
    """The open transactions of other processes in the database, or nothing."""
    cursor.execute(_HOLDERS)
    return "; ".join(f"process {pid}: {query}" for pid, query in cursor.fetchall())


def _statements(cursor: Any, keep: frozenset[str]) -> list[sql.Composed]:
    cursor.execute(_TABLES)
    tables = [sql.Identifier(schema, name) for schema, name, root in cursor.fetchall() if keep.isdisjoint({name, root})]
    cursor.execute(_SEQUENCES)
    sequences = [
        sql.Identifier(schema, name) for schema, name, users in cursor.fetchall() if keep.isdisjoint({name, *users})
    ]
    statements = [sql.SQL("ALTER SEQUENCE {} RESTART").format(name) for name in sequences]
    if tables:
        statements.append(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(tables)))
    return statements
