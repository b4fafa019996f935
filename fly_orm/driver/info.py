"""``connection.info`` of a routing connection."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext


class RoutingInfo(ext.ConnectionInfo):
    """psycopg2's own, except that the transaction status may be that of the primary."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._connection = connection

    @property
    def transaction_status(self) -> int:
        status: int = self._connection.get_transaction_status()
        return status
