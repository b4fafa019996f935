"""A waiter that has no connection while nobody waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ..concurrency.background import BackgroundTask
from ..concurrency.idle_end import IdleEnd
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import FlyOrmError, ReplicationTimeout
from ..lsn import LSN
from ..registry import make_waiter
from ..waiter import LSNWaiter

log = logging.getLogger("fly_orm")

#: Seconds that connecting ahead of a wait may take.
LOOK_TIMEOUT = 2.0


class RestingWaiter:
    """A waiter of any kind, which is closed when nobody has waited for some seconds, and made anew. Thread-safe."""

    def __init__(self, kind: str, connect: Callable[[], Any], timer: Timer) -> None:
        self._kind = kind
        self._connect = connect
        self._idle = IdleEnd(timer, self._rest)
        self._lock = threading.Lock()
        self._has_connected = False
        self._waiter: LSNWaiter | None = self._make()  # now, so that a setting that is wrong is found
        self._users: set[object] = set()
        self._closed = False
        self._task = BackgroundTask("fly_orm waiter connection", self._look)

    def wait(self, lsn: LSN, deadline: Deadline) -> LSN:
        """The replica's replay LSN once it is at least ``lsn``; see :class:`fly_orm.waiter.LSNWaiter`."""
        user = object()
        try:
            return self._begin_use(user, lsn).wait(lsn, deadline)
        finally:
            self._end_use(user)

    def prepare(self) -> None:
        """Connect in the background, unless that has been done: a write is on its way, and will be waited for."""
        if not self._has_connected:
            self._task.start()

    def check(self, version: int) -> None:
        """Raise ConfigurationError if the waiter cannot wait for servers of this version."""
        user = object()
        try:
            if (check := getattr(self._begin_use(user, LSN(0)), "check", None)) is not None:
                check(version)
        except ReplicationTimeout:
            pass  # it was closed
        finally:
            self._end_use(user)

    def close(self) -> None:
        """Close the connections. Current and later waits raise ReplicationTimeout."""
        with self._lock:
            self._closed = True
            waiter = self._waiter
        if waiter is not None:
            waiter.close()

    def _begin_use(self, user: object, lsn: LSN) -> LSNWaiter:
        """The waiter, which stays open as long as it has users. Whatever this raises, :meth:`_end_use` follows."""
        with self._lock:
            if self._closed:
                raise ReplicationTimeout(f"committed at {lsn}, but the waiter for the replica was closed", lsn=lsn)
            self._users.add(user)
            if self._waiter is None:
                self._idle.opened()
                self._waiter = self._make()
            return self._waiter

    def _end_use(self, user: object) -> None:
        with self._lock:
            self._users.discard(user)
        self._idle.used()

    def _rest(self) -> None:
        with self._lock:
            if self._users or self._closed:
                return
            waiter, self._waiter, self._has_connected = self._waiter, None, False
        if waiter is not None:
            waiter.close()

    def _make(self) -> LSNWaiter:
        return make_waiter(self._kind, self._open)

    def _open(self) -> Any:
        connection = self._connect()
        self._has_connected = True
        return connection

    def _look(self) -> None:
        try:
            self.wait(LSN(0), Deadline.after(LOOK_TIMEOUT))
        except FlyOrmError:
            pass  # the wait that follows meets it too, and says so
        except Exception:  # a plug-in's
            log.exception("the waiter could not connect ahead of a wait", extra={"event": "internal_error"})
