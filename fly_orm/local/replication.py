"""How far behind a replica says that it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..lsn import LSN
from ..postgres.cursors import text_cursor

# Any role may ask. One that may not see what the receiver does still sees that there is one.
_QUERY = """
    SELECT pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text,
        EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)::text,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
    WHERE pg_is_in_recovery()"""


class Replication(NamedTuple):
    """How a replica follows its primary, by what it knows itself."""

    receiving: bool
    """Whether it is connected to the server that it follows."""
    missing_bytes: int | None
    """The bytes of WAL that it has received and not replayed; None if it has received none, as from an archive."""
    seconds: float | None
    """How long ago the last transaction that it has replayed was committed, by the clocks of both servers. 0 if it is
    connected and has replayed all that it has received, since the primary may commit nothing; None if not known."""


def read_replication(connection: Any) -> Replication | None:
    """How the server that a connection in autocommit has reached follows its primary; None if it is not a replica."""
    with text_cursor(connection) as cursor:
        cursor.execute(_QUERY)
        row = cursor.fetchone()
    if row is None or row[1] is None:
        return None
    received, replayed, receiving, age = row
    missing = None if received is None else max(0, LSN.parse(received) - LSN.parse(replayed))
    if receiving == "true" and missing == 0:
        age = 0.0
    return Replication(receiving == "true", missing, None if age is None else max(0.0, age))
