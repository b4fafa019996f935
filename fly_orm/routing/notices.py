"""The notices of the primary, kept as psycopg2 keeps those of its own server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: How many notices a connection keeps (psycopg2's manual, connection.notices).
_NOTICES = 50


def keep_notices(connection: Any, notices: Iterable[str]) -> None:
    """Append the notices to ``connection.notices``, whatever the application has put there. Never raises.

    Like psycopg2, this needs nothing but a method ``append``, drops notices silently where they cannot be appended, and
    shortens a list only.
    """
    kept = connection.notices
    try:
        for notice in notices:
            kept.append(notice)
        if isinstance(kept, list):
            del kept[:-_NOTICES]
    except Exception:  # noqa: BLE001, S110  # the statement has been executed
        pass
