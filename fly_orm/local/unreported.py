"""The settings that a server does not report to libpq."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext

#: Settings that change how Postgres reads and writes values, that it does not report to libpq, and that may differ
#: between the configuration files of two servers.
UNREPORTED = ("bytea_output", "extra_float_digits", "xmlbinary")


def read_unreported(connection: Any) -> dict[str, str]:
    """These settings, as the server of this connection has them now."""
    with ext.cursor(connection) as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in UNREPORTED))
        return dict(zip(UNREPORTED, cursor.fetchone() or (), strict=True))
