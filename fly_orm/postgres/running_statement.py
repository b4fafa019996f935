"""A statement that is running on a driver connection and that any thread may cancel."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2

from ..concurrency.threads import this_thread
from .libpq import break_off, cancel

#: Seconds within which a statement must be cancelled. Its connection is ended otherwise.
CANCEL_TIMEOUT = 1.0


class RunningStatement:
    """What runs on a connection until :meth:`end` is called; later, cancelling it does nothing.

    Postgres cancels whatever the connection is executing when the request arrives, not a certain statement (Postgres
    manual, "Canceling Requests in Progress"). So a request that is late would hit the next statement.
    """

    # There is one for each request, and most of them keep these.
    is_timed_out = False
    """Whether it is cancelled since its time is over."""
    is_too_long = False
    """Whether it is cancelled since its result is too long."""
    broken_off = False
    """Whether its connection was ended from here, so that the server may not have heard of it yet."""
    may_wait_for_standby = False
    """Whether it is a COMMIT that may wait for a synchronous standby."""
    was_seen = False
    """Whether a watchdog has looked at it before."""
    received_before: int | None = None
    """How many bytes its connection had received when a watchdog measured it first, or it last made progress."""
    progress_before: object = None
    _over = False

    def __init__(
        self,
        connection: Any,
        *,
        ends_at: float = math.inf,
        is_measured: bool = True,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        """The calling thread is the one that will wait for the statement.

        ``progress()`` returns another value once a part of its result has left the driver.
        """
        self.connection = connection
        self.progress = progress
        self.thread = this_thread.native_id
        self.ends_at = ends_at
        """When its time is over (monotonic); a :class:`Watchdog` cancels it soon after that."""
        self.is_measured = is_measured
        """Whether a watchdog cancels it if its result becomes too long."""
        self._lock = threading.Lock()

    def go_on(self, ends_at: float) -> None:
        """Note that the calling thread goes on with the statement, until this instant."""
        self.thread = threading.get_native_id()
        self.received_before = None
        self.ends_at = ends_at

    def cancel(self) -> None:
        """Cancel the statement; returns when the server has received that, or cannot be reached."""
        with self._lock:
            if not self._over:
                with suppress(psycopg2.Error):  # with the connection, the statement is gone too
                    cancel(self.connection)

    def give_up(self) -> None:
        """Cancel the statement, as its caller is gone or its time is over. Returns at once.

        Cancelling a COMMIT that waits for a synchronous standby would end the wait and not the COMMIT: everybody would
        see what it has written as committed, although the standby may not have it (SyncRepWaitForLSN in syncrep.c). So
        its connection is ended instead. The server goes on waiting, unless it has not begun to commit yet.
        """
        if self.may_wait_for_standby:
            self.break_off()
        else:
            self.cancel_soon()

    def cancel_soon(self) -> None:
        """Cancel the statement on another thread, so that a server out of reach does not hold up the cancelling one."""
        threading.Thread(target=self.cancel, name="fly_orm canceller", daemon=True).start()

    def break_off(self) -> None:
        """End the connection, from any thread: what waits for the server fails at once, even if it is out of reach."""
        if not self._over:
            self.broken_off = True
            break_off(self.connection)

    def end(self) -> None:
        """Note that the statement is over, and wait for a cancellation that is under way."""
        self._over = True  # before the lock: a cancellation that has yet to begin need not be waited for
        if self._lock.acquire(timeout=CANCEL_TIMEOUT):
            self._lock.release()
        else:
            self.broken_off = True
            break_off(self.connection)
