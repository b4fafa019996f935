"""The settings that a server does not report to libpq."""

from __future__ import annotations

from typing import Any

from ..postgres.cursors import text_cursor

#: Settings that change how Postgres reads and writes values, that it does not report to libpq, and that may differ
#: between the configuration files of two servers.
UNREPORTED = ("bytea_output", "extra_float_digits", "xmlbinary")
#: After how long a server ends a session that is idle.
IDLE_TIMEOUT = "idle_session_timeout"


def read_unreported(connection: Any) -> dict[str, str]:
    """These settings and the idle timeout, as each session of this connection's server begins with them.

    The current values would not do: the application may have changed them on this connection already.
    """
    with text_cursor(connection) as cursor:
        names = [*UNREPORTED, IDLE_TIMEOUT]
        cursor.execute("SELECT name, reset_val FROM pg_catalog.pg_settings WHERE name = ANY (%s)", (names,))
        return dict(cursor.fetchall())
