"""The ids of transactions, by which anybody can ask later what became of them."""

from __future__ import annotations

from typing import Any

import psycopg2.errors

from ..protocol.messages import OpenTransaction
from .cursors import text_cursor

# After a crash, Postgres can give the id of a transaction of which nothing had reached the disk to another one. It
# resets its statistics then, and only then, unless it is told to.
_RUN = (
    "SELECT pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 1, 8) || ' ' ||"
    " coalesce(extract(epoch FROM pg_catalog.pg_stat_get_bgwriter_stat_reset_time()), 0)::text"
)
_OPEN = (
    "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text,"
    " (pg_catalog.current_setting('synchronous_standby_names') <> ''"
    " AND pg_catalog.current_setting('synchronous_commit') NOT IN ('off', 'local'))::text"
)
_STATUS = "SELECT pg_catalog.pg_xact_status(%s::text::xid8)"


def read_run(connection: Any) -> str:
    """What identifies the time, on the primary of a driver connection, in which no id is given to two transactions.

    A connection does not outlive it.
    """
    with text_cursor(connection) as cursor:
        cursor.execute(_RUN)
        (run,) = cursor.fetchone()
        return str(run)


def read_open(connection: Any, run: str) -> OpenTransaction | None:
    """The transaction that is open on a driver connection; None if it has written nothing yet, and so has no id."""
    with text_cursor(connection) as cursor:
        cursor.execute(_OPEN)
        number, waits = cursor.fetchone()
    return None if number is None else OpenTransaction(id=int(number), run=run, commit_waits=waits == "true")


def has_committed(connection: Any, run: str, transaction: OpenTransaction) -> bool | None:
    """Whether a transaction has committed; None if it still may, or if that cannot be told.

    On a driver connection in autocommit, whose :func:`read_run` is ``run``. False is certain even if the id has been
    given to another transaction since: the one that was asked for would have kept it, had it committed.
    """
    with text_cursor(connection) as cursor:
        try:
            cursor.execute(_STATUS, (str(transaction.id),))
            (status,) = cursor.fetchone()
        except psycopg2.errors.InvalidParameterValue:  # it is "in the future": it was lost in a crash or a failover
            return False
    if status == "aborted":
        return False
    return True if status == "committed" and run == transaction.run else None
