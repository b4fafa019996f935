"""Keeps the session on the replica from idling away while its connection works on the primary."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from ..deadline import now
from ..local.unreported import IDLE_TIMEOUT
from ..postgres.libpq import was_lost
from .session_settings import SessionSettings

#: Seconds between two uses of the session for this purpose.
INTERVAL = 1.0


class IdleSession:
    """Uses the session of one connection on the replica now and then, if the server would end one that is idle."""

    def __init__(self) -> None:
        self._used_at = now()

    @property
    def due(self) -> float:
        """When the session has to be used again (monotonic)."""
        return self._used_at + INTERVAL

    def keep(self, connection: Any, settings: SessionSettings) -> None:
        """Use the session, if it may have been idle for some time. Never raises."""
        if now() < self.due:
            return
        self._used_at = now()
        value = settings.value_of(IDLE_TIMEOUT) or connection.router.local.idle_session_timeout
        if value.strip("0.usminhd ") == "":  # zero, with or without a unit
            return
        if was_lost(connection):  # a driver that noticed this would not write any more, either
            return
        with suppress(psycopg2.Error), ext.cursor(connection) as cursor:  # not one that routes
            cursor.execute("SELECT")
