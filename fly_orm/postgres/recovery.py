"""Whether a server is a replica, as it says itself."""

from __future__ import annotations

from typing import Any


def is_replica(connection: Any) -> bool:
    """Whether the server of this connection is in recovery, as it says itself.

    PostgreSQL 14 and later report ``in_hot_standby`` at connect and when it changes, which costs no query; where it
    does not arrive (an older server, a connection pooler) the server is asked.
    """
    reported = connection.get_parameter_status("in_hot_standby")
    if reported is not None:
        return bool(reported == "on")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        return bool(cursor.fetchone()[0])
