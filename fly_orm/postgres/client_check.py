"""Has a server end what it executes for a client that is gone."""

from __future__ import annotations

from typing import Any

import psycopg2

from .cursors import text_cursor

#: Seconds between two looks of the server, while it executes a statement, whether its client is still there.
INTERVAL = 0.5
#: Has the session do so, unless it has an interval of its own.
WATCH = (
    f"SELECT pg_catalog.set_config('client_connection_check_interval', '{INTERVAL * 1000:.0f}ms', false)"
    " WHERE pg_catalog.current_setting('client_connection_check_interval') = '0'"
)
_SET = f"SET client_connection_check_interval TO '{INTERVAL * 1000:.0f}ms'"
#: A machine that is lost does not hang up, so that its transactions, with their locks, would stay for the two hours
#: after which systems look by default.
_KEEPALIVES = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "3s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
}
_UNSET = """
    SELECT name FROM pg_catalog.pg_settings
    WHERE source OPERATOR(pg_catalog.=) 'default' AND name OPERATOR(pg_catalog.=) ANY (%s)"""


def watch_client(connection: Any) -> bytes:
    """Let the session of a driver connection, in autocommit, end soon if this process dies while a statement runs.

    By default, a server notices only when it sends the result, so that a statement which waits for a lock is executed
    long after its client has died (Postgres manual, client_connection_check_interval). Returns the statement for it,
    which has to be repeated after RESET ALL. It is empty if the session has an interval of its own, or if the server's
    operating system does not offer this.
    """
    try:
        with text_cursor(connection) as cursor:
            cursor.execute(WATCH)
            return _SET.encode() if cursor.rowcount else b""
    except psycopg2.DataError:
        return b""


def keep_alive(connection: Any) -> bytes:
    """Let the session of a driver connection end within 15 seconds if this machine can no longer be reached.

    Returns the statement for it, which has to be repeated after RESET ALL. It leaves out what the session has values of
    its own for. It does nothing over a Unix socket.
    """
    with text_cursor(connection) as cursor:
        cursor.execute(_UNSET, (list(_KEEPALIVES),))
        if statement := "; ".join(f"SET {name} TO '{_KEEPALIVES[name]}'" for (name,) in cursor.fetchall()):
            cursor.execute(statement)
        return statement.encode()
