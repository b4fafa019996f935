"""Proxies around the driver's connections, which monitoring agents let ``psycopg2.connect`` return."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext


def unproxied(connection: Any) -> Any:
    """The driver's own connection, which a proxy names ``__wrapped__``, as those of ``wrapt`` do.

    ``isinstance()`` takes such a proxy for a connection. What the driver has written in C does not: its class of
    cursors, above all.
    """
    while not issubclass(type(connection), ext.connection) and hasattr(connection, "__wrapped__"):
        connection = connection.__wrapped__
    return connection
