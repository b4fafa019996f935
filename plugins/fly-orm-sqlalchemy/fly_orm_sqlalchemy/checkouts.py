"""The connections that each thread has taken from an engine's pool."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from psycopg2 import extensions as ext
from sqlalchemy.pool import PoolProxiedConnection

from fly_orm.adapters.base import RoutingConnection

#: One that was open on a connection that is lost now has been rolled back.
_NO_TRANSACTION = (ext.TRANSACTION_STATUS_IDLE, ext.TRANSACTION_STATUS_UNKNOWN)


class Checkouts:
    """Notes them as they are lent. SQLAlchemy itself does not tell threads apart."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def add(self, proxied: PoolProxiedConnection) -> None:
        """Note that the calling thread has taken a connection."""
        lent = self._lent
        if lent is None:
            lent = self._threads.lent = weakref.WeakSet()
        lent.add(proxied)

    def open(self) -> list[PoolProxiedConnection]:
        """Those that the calling thread has taken, and nobody has given back."""
        return [proxied for proxied in self._lent or () if proxied.is_valid]

    def in_transaction(self) -> bool:
        """Whether a transaction is open on one of them."""
        return any(is_busy(proxied.dbapi_connection) for proxied in self.open())

    @property
    def _lent(self) -> weakref.WeakSet[PoolProxiedConnection] | None:
        return getattr(self._threads, "lent", None)


def is_busy(connection: Any) -> bool:
    """Whether a transaction is open on a connection. Reads that were made before it begins do not count."""
    if isinstance(connection, RoutingConnection):
        return connection.in_transaction
    return not connection.closed and connection.get_transaction_status() not in _NO_TRANSACTION
