"""A statement that is running on a driver connection, and that any thread may cancel."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import psycopg2

from .libpq import break_off, cancel

#: A connection whose statement is not cancelled within so many seconds is ended.
CANCEL_TIMEOUT = 2.0


class RunningStatement:
    """Something that runs on a connection until :meth:`end`. Cancelling it then hits nothing that runs later."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._over = False

    def cancel(self) -> None:
        """Cancel it; returns when the server has heard of it, or cannot be reached."""
        with self._lock:
            if not self._over:
                with suppress(psycopg2.Error):  # a connection that is gone has taken its statement with it
                    cancel(self._connection)

    def cancel_soon(self) -> None:
        """Cancel it on a thread of its own: a server that is out of reach must not hold up the cancelling of others."""
        threading.Thread(target=self.cancel, name="fly_orm canceller", daemon=True).start()

    def break_off(self) -> None:
        """End its connection from any thread: what waits for its server fails at once, even if that is out of reach."""
        if not self._over:
            break_off(self._connection)

    def end(self) -> None:
        """It is over. Waits for a cancellation that is on its way, which would hit what runs next."""
        self._over = True
        if self._lock.acquire(timeout=CANCEL_TIMEOUT):
            self._lock.release()
        else:
            break_off(self._connection)
