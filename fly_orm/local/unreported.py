"""The settings of a server that libpq is not told of."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext

#: Settings that change how Postgres writes and reads values, that libpq is not told of, and that the configuration
#: files of two servers may give differently.
UNREPORTED = ("bytea_output", "extra_float_digits", "xmlbinary")


def read_unreported(connection: Any) -> dict[str, str]:
    """The settings that libpq is not told of, as the server of this connection has them now."""
    with ext.cursor(connection) as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in UNREPORTED))
        return dict(zip(UNREPORTED, cursor.fetchone() or (), strict=True))
