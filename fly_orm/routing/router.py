"""What all connections of one wrapped database share in a process."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..classify import Classifier
from ..deadline import Deadline, now
from ..errors import FlyOrmError, NotAReplica, ReplicationTimeout
from ..forwarder import Forwarder
from ..lsn import LSN
from ..registry import make_transport, make_waiter
from ..session import Session, current
from ..settings import Settings
from ..waiter import LSNWaiter
from .errors import as_driver_error
from .settings import read_unreported

log = logging.getLogger("fly_orm")

#: When a write waits until the local replica has replayed it.
Wait = Literal["write", "none"]


@dataclass(kw_only=True)
class _InProcess:
    """What is made once per process, and anew in a forked one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    forwarder: Forwarder | None = None
    waiter: LSNWaiter | None = None
    unreported: dict[str, str] | None = None


class Router:
    """How the statements of one database find their way. Thread-safe and fork-safe."""

    def __init__(
        self,
        identify: Callable[[], str],
        settings: Settings,
        connect: Callable[[], Any],
        *,
        wait: Wait = "write",
        primary_functions: Iterable[str] = (),
        orm: Any = None,
    ) -> None:
        self._identify = identify
        self.settings = settings
        self.connect = connect
        """Opens an unrouted driver connection with the database's own parameters."""
        self.classify = Classifier(primary_functions)
        self._wait = wait
        self._orm = orm
        self._own = _InProcess()
        _routers.add(self)

    @property
    def name(self) -> str:
        """What the nodes call the database; a deferred one learns it late."""
        return self._identify()

    @property
    def forwarder(self) -> Forwarder:
        """Sends statements to the primary region; made on first use."""
        own = self._own
        with own.lock:
            if own.forwarder is None:
                own.forwarder = Forwarder(self.settings, make_transport(self.settings.transport))
            return own.forwarder

    @property
    def waiter(self) -> LSNWaiter:
        """Waits for the local replica; made on first use."""
        own = self._own
        with own.lock:
            if own.waiter is None:
                own.waiter = make_waiter("polling", self.connect)
            return own.waiter

    def unreported(self, connection: Any) -> dict[str, str]:
        """The settings of the local server that libpq is not told of; read once."""
        own = self._own
        if own.unreported is None:
            own.unreported = read_unreported(connection)
        return own.unreported

    def wait(self, commit: LSN) -> float:
        """Wait until the replica shows a commit, and return how long that took, in seconds.

        A replica that is late never makes the write fail: the session's reads go to the primary until it has caught up.
        """
        session, started = current(), now()
        if self._wait == "none":
            return 0.0
        try:
            self.waiter.wait(commit, Deadline.after(self.settings.replication_timeout))
        except NotAReplica:
            session.unpin(self.name)
        except ReplicationTimeout as error:
            session.pin(self.name, commit)
            log.warning("%s; this session reads from the primary until it has", error)
        else:
            if session.behind.get(self.name, commit) <= commit:
                session.unpin(self.name)
        return now() - started

    def pinned(self, session: Session) -> bool:
        """Whether the session's reads of this database have to run on the primary."""
        behind = session.behind.get(self.name)
        if behind is not None:
            try:
                self.waiter.wait(behind, Deadline.after(0))
            except NotAReplica:
                session.unpin(self.name)
            except ReplicationTimeout:
                return True
            else:
                session.unpin(self.name)
        return session.on_primary > 0

    def driver_error(self, error: FlyOrmError) -> FlyOrmError:
        """The error as the callers of this database's driver and ORM can catch it."""
        return as_driver_error(error, self._orm)

    def close(self) -> None:
        """Close the channels and the waiter's connection; they are opened again when they are needed."""
        own, self._own = self._own, _InProcess()
        for part in (own.forwarder, own.waiter):
            if part is not None:
                part.close()

    def after_fork(self) -> None:
        """Let go of the parent's channels and connections without touching them."""
        self._inherited = self._own
        self._own = _InProcess()


_routers: weakref.WeakSet[Router] = weakref.WeakSet()


def _after_fork() -> None:
    for router in list(_routers):
        router.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
