"""A table with one row, in both regions, and what tests ask about it."""

from typing import Any

from tests.support.two_regions import TwoRegions

TABLE = "CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE)"
INSERT = "INSERT INTO t (name) VALUES (%s)"


def one_table(regions: TwoRegions) -> Any:
    """A database in lax, with a table that has a row."""
    database = regions.lax()
    database.execute_sql(TABLE)
    database.execute_sql(INSERT, ("first",))
    return database


def deferring(connection: Any) -> Any:
    """The connection, which now begins transactions that read on the replica until their first write."""
    connection.autocommit = False
    connection.defers_transactions = True
    return connection


def count(db: Any) -> int:
    return int(db.execute_sql("SELECT count(*) FROM t").fetchone()[0])


def open_transactions(regions: TwoRegions) -> int:
    where = f"datname = '{regions.name}' AND state LIKE 'idle in transaction%'"
    return int(regions.query(f"SELECT count(*) FROM pg_stat_activity WHERE {where}"))
