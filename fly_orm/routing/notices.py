"""The notices of the primary, kept as psycopg2 keeps those of its own server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


class Apart:
    """A block whose notices reach ``connection.notices`` at its end, unless its statement runs once more elsewhere."""

    repeated = False
    """Whether it does, so that its notices come once more."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> Apart:
        self._kept, self._connection.notices = self._connection.notices, []
        return self

    def __exit__(self, *_error: object) -> None:
        notices, self._connection.notices = self._connection.notices, self._kept
        if not self.repeated:
            keep_notices(self._connection, notices)


@contextmanager
def without_repeated(connection: Any) -> Iterator[None]:
    """A block that executes what the replica has refused, whose first notices ``connection.notices`` has already.

    Nobody has counted them, as that would delay each read. So they are taken to be those at its end that are the first
    ones of the block, too.
    """
    kept, connection.notices = connection.notices, []
    try:
        yield
    finally:
        notices, connection.notices = connection.notices, kept
        if isinstance(kept, list):
            lengths = range(1, min(len(kept), len(notices)) + 1)
            repeated = max((length for length in lengths if kept[-length:] == notices[:length]), default=0)
            del kept[len(kept) - repeated :]
        keep_notices(connection, notices)
