"""What all connections of one wrapped database share in a process."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from ..classify import Classifier
from ..concurrency.forks import abandon_in_children
from ..deadline import Deadline, now
from ..errors import ConfigurationError, FlyOrmError, NotAReplica, ReplicationTimeout
from ..forwarding.forwarder import Forwarder
from ..local.server import LocalServer
from ..position import Position
from ..sessions.activity import Activity
from ..sessions.context import current, invocation
from ..sessions.session import Session
from ..sessions.wait import Wait
from .errors import as_driver_error
from .options import Options
from .wrapped_database import WrappedDatabase

log = logging.getLogger("fly_orm")


class Router:
    """How the statements of one database find their way. Thread-safe and fork-safe."""

    def __init__(self, wrapped: WrappedDatabase, options: Options, exceptions: Any = None) -> None:
        """``exceptions`` is a module with the DB-API's exception names, which the ORM's callers catch."""
        self.wrapped = wrapped
        self.settings = options.settings
        self.exceptions = exceptions
        self.connect = wrapped.connect
        self.classify = Classifier(options.primary_functions)
        self.reads_there = options.reads == "primary"
        """Whether every read runs on the primary."""
        self.reference = weakref.ref(self)
        """What stands for it where it must not be kept alive."""
        self.local = self._local()
        """The server that this process connects to."""
        self._options = options
        _routers.add(self)
        abandon_in_children(self)

    @property
    def name(self) -> str:
        """What the nodes call the database; a deferred one learns it late."""
        return self._options.name or self.wrapped.name()

    def is_named(self, name: str) -> bool:
        """Whether this is the database that the nodes call so."""
        try:
            return self.name == name
        except ConfigurationError:  # a deferred database, which has no name yet
            return False

    @property
    def forwarder(self) -> Forwarder:
        """Sends statements to the primary region."""
        return self._options.runtime.forwarder

    def deadline(self) -> Deadline:
        """By when a request to the primary region has to be answered."""
        deadline, running = Deadline.after(self.settings.rpc_timeout), invocation()
        return deadline if running is None else deadline.or_earlier(running.deadline)

    def wait(self, commit: Position, wait: Wait | None = None) -> float:
        """See to it that the session's reads show a commit, and return how long that took, in seconds.

        A replica that is late never makes the write fail: the session's reads go to the primary until it has caught up.
        Unless that is what was asked for: then ReplicationTimeout. ``wait`` overrides the session's and the database's
        own. Nothing is waited for at UNKNOWN, which see :meth:`expect`.
        """
        session = current()
        if session.invocation is not None:
            session.invocation.saw(self.name, commit)
        when = self._when(session, wait)
        if when == "none":
            return 0.0
        session.saw(self.name, commit)
        if when == "write" and not commit.is_unknown:
            return self._wait_now(commit, session, own=True)
        session.pin(self.name, commit)
        if when == "read":
            session.due.add(self.name)
        return 0.0

    def expect(self, position: Position) -> None:
        """Let the session's reads be no older than a position, without waiting for it now.

        UNKNOWN stands for one that could not be asked for: the next statement on the primary tells it.
        """
        session = current()
        if position.is_unknown and session.invocation is not None:
            session.invocation.saw(self.name, position)
        if self._when(session) != "none":
            session.saw(self.name, position)
            session.pin(self.name, position)

    def wants_lsn(self) -> bool:
        """Whether anybody asks how far the primary is: the session, or the caller of the function that this is in."""
        session = current()
        return session.invocation is not None or self._when(session) != "none"

    def pinned(self, session: Session) -> bool:
        """Whether the session's reads of this database have to run on the primary; waits first if that is due."""
        if session.on_primary:
            return True
        if session.on_replica:
            return False
        if self.reads_there:
            return True
        behind = session.behind.get(self.name)
        if behind is not None and behind.is_unknown and not session.watermarks.in_doubt(self.name):
            behind = session.forget_unknown(self.name)
        if behind is None or behind.is_unknown:
            return behind is not None
        if self.name in session.due:
            session.due.discard(self.name)
            session.waited += self._wait_now(behind, session, own=self.name not in session.resumed)
            behind = session.behind.get(self.name)
        return behind is not None and self._is_late(behind, session)

    def activity_of(self, session: Session, *, reads: bool) -> Activity | None:
        """What this session has done here that the local server has to be asked about; None if nothing.

        That is what it wrote directly on a primary, and with ``reads`` also what it has read.
        """
        activity = None if session.activity is None else session.activity.by_database.get(self)
        untold = session.activity is None and self.local.at_primary
        if untold or (reads and (activity is not None or self.reference in session.read)):
            return Activity(wrote=True)  # for all that is known
        return activity if activity is not None and (activity.wrote or activity.read) else None

    def position_after(self, activity: Activity) -> Position | None:
        """A position that covers that; None if it turns out to be nothing, UNKNOWN if the server cannot be asked."""
        return self.local.position_after(self.name, activity)

    def _when(self, session: Session, wait: Wait | None = None) -> Wait:
        return wait or session.wait or self._options.wait

    def _wait_now(self, commit: Position, session: Session, *, own: bool) -> float:
        started = now()
        try:
            self.local.replica.wait(commit, Deadline.after(self.settings.replication_timeout))
        except NotAReplica:
            session.unpin(self.name)
        except BaseException as error:  # the caller may be interrupted, and has to see what it wrote all the same
            session.pin(self.name, commit)
            if not isinstance(error, ReplicationTimeout):
                raise
            self._report(error, now() - started, own=own)
        else:
            session.caught_up(self.name, commit)
        return now() - started

    def _report(self, late: ReplicationTimeout, waited: float, *, own: bool) -> None:
        """Say that the replica is late, in the way that was asked for, if what it lacks is the session's own."""
        if self._options.on_lag == "raise" and own:
            late.waited = waited
            raise self.driver_error(late) from late.__cause__
        log.warning("%s; this session reads from the primary until it has", late)

    def _is_late(self, behind: Position, session: Session) -> bool:
        try:
            self.local.replica.wait(behind, Deadline.after(0))
        except ReplicationTimeout:
            return True
        except NotAReplica:
            pass  # the local server is a primary, and shows everything
        session.unpin(self.name)
        return False

    def driver_error(self, error: FlyOrmError) -> FlyOrmError:
        """The error as the callers of this database's driver and ORM can catch it."""
        return as_driver_error(error, *filter(None, [self.exceptions]))

    def close(self) -> None:
        """Close channels and connections; they are opened again when they are needed."""
        local, self.local = self.local, self._local()
        local.close()
        self._options.runtime.close()

    def abandon(self) -> None:
        """Let go of the parent's connections in a forked process, and open others when they are needed.

        Nothing has to keep them alive: psycopg2 ends a connection only in the process that opened it.
        """
        self.local = self._local()
        abandon_in_children(self)

    def _local(self) -> LocalServer:
        return LocalServer(self.settings.waiter, self.connect)


_routers: weakref.WeakSet[Router] = weakref.WeakSet()


def routers() -> list[Router]:
    """Those of all databases that are wrapped in this process."""
    return list(_routers)
