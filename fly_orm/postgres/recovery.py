"""Whether a server is a replica. The server itself says so; nothing else does."""

from __future__ import annotations

from typing import Any

from .cursors import text_cursor


def is_replica(connection: Any, *, pooled: bool = False) -> bool:
    """Whether the server that a driver connection has reached is in recovery.

    PostgreSQL 14 and later report ``in_hot_standby`` when a client connects and whenever it changes, so this costs no
    query. An older server is asked, and so is one behind a pooler, which may repeat what another server has reported.
    """
    reported = None if pooled else connection.get_parameter_status("in_hot_standby")
    if reported is not None:
        return bool(reported == "on")
    with text_cursor(connection) as cursor:
        cursor.execute("SELECT pg_is_in_recovery()::text")
        return bool(cursor.fetchone()[0] == "true")
