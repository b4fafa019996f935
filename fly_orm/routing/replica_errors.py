"""Which errors of a replica mean that the primary should be asked."""

from __future__ import annotations

import psycopg2

#: SQLSTATEs with which a replica refuses what a primary may do, or cancels a read because of what it replays (Postgres
#: manual, section 26.4). Such a statement has had no effect on the database. Some of these states can have other causes
#: too; the primary then raises the same error.
_REFUSALS = frozenset({"25006", "0A000", "55000", "40001", "58P01", "XX000"})
READ_ONLY = "25006"


def why_ask_primary(error: psycopg2.Error) -> str:
    """The reason for repeating a read on the primary after the replica's error; raises the error if there is none."""
    if error.pgcode not in _REFUSALS:
        raise error
    return f"the replica refused: {(error.diag.message_primary or str(error)).strip()}"


def tried_to_write(error: psycopg2.Error) -> bool:
    """Whether the replica refused a statement because it writes, although it looked like a read."""
    return error.pgcode == READ_ONLY
