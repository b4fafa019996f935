"""Whether the server of a connection was superseded by one that was promoted."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import NotPrimary
from ..position import History, Superseded
from .primary_connection import PrimaryConnection


def check_current(name: str, connection: PrimaryConnection, newest: Collection[History]) -> None:
    """Raise NotPrimary if the server of a connection to this database is behind one of the newest timelines."""
    own = connection.wal.history
    for seen in newest:
        if own is not None and seen != own and own.is_behind(seen):
            address = connection.address
            raise NotPrimary(
                f"the server of {name!r} at {address} is on timeline {own.timeline}, but its caller has seen timeline "
                f"{seen.timeline}: another server was promoted to primary; stop this one, or let it rejoin as a "
                "replica",
                superseded={name: Superseded(own, address)},
            )
