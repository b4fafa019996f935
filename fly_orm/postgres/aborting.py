"""Makes the open transaction fail, as the server would after an error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from .cursors import execute
from .pooled_session import literal


def abort_transaction(connection: Any, sqlstate: str, message: str) -> None:
    """Make the transaction fail that is open on a driver connection, if there is one, with an error of the server's."""
    if connection.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
        with suppress(psycopg2.Error):
            code = f"BEGIN RAISE USING ERRCODE = {literal(sqlstate)}, MESSAGE = {literal(message)}; END"
            execute(connection, f"DO {literal(code)}")
