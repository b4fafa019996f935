"""What a routing connection says about itself."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions as ext


class RoutingInfo(ext.ConnectionInfo):
    """``connection.info``, with the status of the transaction that is open on the primary."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._connection = connection

    @property
    def transaction_status(self) -> int:
        status: int = self._connection.get_transaction_status()
        return status
