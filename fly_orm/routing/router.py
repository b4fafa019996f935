"""What all connections of one wrapped database share in a process."""

from __future__ import annotations

import weakref
from typing import Any

from ..classify import Classifier
from ..concurrency.forks import abandon_in_children
from ..deadline import Deadline
from ..errors import ConfigurationError, FlyOrmError, ReplicationTimeout
from ..forwarding.fence import Fence
from ..forwarding.forwarder import Forwarder
from ..local.instance import THE_PRIMARY
from ..local.server import LocalServer
from ..local.starting import fit_for_replica
from ..position import History, Position
from ..postgres.connecting import hiding_passwords
from ..postgres.proxies import unproxied
from ..sessions.activity import Activity
from ..sessions.context import current, current_invocation
from ..sessions.session import Session
from ..topology import Node
from .errors import as_driver_error
from .freshness import Freshness, Waited
from .options import Options
from .primary_check import PrimaryCheck
from .session_functions import SessionFunctions
from .wrapped_database import WrappedDatabase


class Router:
    """The routing of one database. Thread-safe and fork-safe."""

    def __init__(self, wrapped: WrappedDatabase, options: Options) -> None:
        self.wrapped = wrapped
        self.settings = options.settings
        self.exceptions = wrapped.exceptions
        self.fence: Fence = options.runtime.fence
        """The newest timelines that this process has seen."""
        self.exactly_once = options.exactly_once
        """Whether the ledger records every write."""
        self.classify = Classifier(options.primary_functions)
        self.session_functions = SessionFunctions(options.session_functions, options.primary_functions)
        """What the functions that statements call may change in a Postgres session."""
        self.freshness = Freshness(options, lambda: self.name, lambda: self.local.replica)
        self.reference = weakref.ref(self)
        """Stands for the router where it must not be kept alive."""
        self.primary_source = self.reference, THE_PRIMARY
        """Stands for the database on its primary in the sessions that have used that directly."""
        self.local = self._local()
        """The server that this process connects to."""
        self._noted: tuple[History, int] | None = None
        """The timeline of the last primary that has executed a request, and the version of the fence then."""
        self._options = options
        self.primary_check = self._primary_check()
        """Makes sure that no wrong server is written."""
        _routers.add(self)
        abandon_in_children(self)

    @property
    def name(self) -> str:
        """The database's name on the nodes. ConfigurationError while a deferred database has none."""
        return self._options.name or self.wrapped.name()

    @property
    def has_name(self) -> bool:
        """Whether the database has a name: one that is deferred, or not bound yet, is not in use."""
        try:
            return bool(self.name)
        except ConfigurationError:
            return False

    def connect(self) -> Any:
        """A connection of fly_orm's own to this region's server, in autocommit."""
        return fit_for_replica(unproxied(hiding_passwords(self.wrapped.connect)))

    def announce(self, connection: Any) -> None:
        """Log which server the first connection of the database has reached, and what is wrong with the settings."""
        self._options.runtime.announcer.database(connection)

    def is_named(self, name: str) -> bool:
        """Whether the nodes know the database by this name."""
        return self.has_name and self.name == name

    @property
    def forwarder(self) -> Forwarder:
        """Sends statements to the primary region."""
        return self._options.runtime.forwarder

    def deadline(self, at_least: float = 0) -> Deadline:
        """When a request to the primary region that begins now has to be answered: in ``at_least`` seconds."""
        timeout, invocation = self.settings.rpc_timeout, current_invocation()
        deadline = Deadline.after(None if timeout is None else max(timeout, at_least))
        return deadline if invocation is None else deadline.or_earlier(invocation.deadline)

    def unreported_activity(self, session: Session, *, reads: bool) -> Activity | None:
        """What this session has done on the local server without learning its position; None if nothing.

        That is what it wrote directly on a primary, and with ``reads`` also what it read on the local server.
        """
        activity = None if session.activity is None else session.activity.by_database.get(self)
        used = session.servers_read(self.reference)
        unrecorded = session.activity is None and THE_PRIMARY in used
        if unrecorded or (reads and (activity is not None or used)):
            return Activity(wrote=True)  # it may have
        return activity if activity is not None and (activity.wrote or activity.read) else None

    def position_after(self, activity: Activity, session: Session) -> Position | None:
        """A position that covers the session's activity; None if it wrote nothing, UNKNOWN if no server can tell."""
        return self.local.position_after(self.name, activity, session.servers_read(self.reference))

    def newest_timelines(self, connection: Any = None) -> list[History]:
        """The newest timelines that this process, or the current session, has seen of the database.

        ``connection`` is the routing connection that it comes from.
        """
        name, fence = self.name, self.fence
        if connection is not None and connection.instance is not None:
            replica = self.local.replica.server(connection.instance)
            fence.saw(name, replica.history, replica.where)
        newest, seen = fence.newest(name), current().watermarks.known(name)
        # What only this session has seen does not count for others: a token may tell of a promotion that was undone.
        return newest if seen is None or seen.history is None else [*newest, seen.history]

    def note_primary(self, position: Position, node: Node) -> None:
        """Note the timeline of a primary that has executed a request."""
        fence, history = self.fence, position.history
        if history is None or self._noted == (history, fence.version):  # nearly always
            return
        name = self.name
        if not fence.expects(name, history):
            fence.met(name, history, f"at the primary of {node}")
        self._noted = history, fence.version

    def driver_error(self, error: FlyOrmError) -> FlyOrmError:
        """The error as an instance of its own class, of the driver's, and of the ORM's, so that callers catch it."""
        return as_driver_error(error, *filter(None, [self.exceptions]))

    def raise_if_late(self, waited: Waited, result: Any) -> None:
        """Raise ReplicationTimeout with the result of a committed write, if the application asked for that."""
        if waited.late is not None:
            facts = {**vars(waited.late), "waited": waited.seconds, "result": result}
            late = ReplicationTimeout(f"{waited.late}; the write is committed, so do not repeat it", **facts)
            raise self.driver_error(late) from waited.late.__cause__

    def close(self) -> None:
        """Close channels and connections; they are opened again when they are needed."""
        local, self.local = self.local, self._local()
        local.close()
        self._options.runtime.close()

    def forget_server(self) -> None:
        """Ask and check the local server anew: the database object leads to another address from now on."""
        local, self.local, self.primary_check = self.local, self._local(), self._primary_check()
        self._noted = None
        local.close()

    def abandon(self) -> None:
        """Let go of the parent's connections in a forked process, and open others when they are needed.

        Nothing has to keep them alive: psycopg2 ends a connection only in the process that opened it.
        """
        self.local = self._local()
        abandon_in_children(self)

    def _primary_check(self) -> PrimaryCheck:
        return PrimaryCheck(
            lambda: self.name,
            self.settings.topology,
            self.fence,
            forwarder=lambda: self.forwarder,
            connect=self.connect,
        )

    def _local(self) -> LocalServer:
        return LocalServer(self.settings.waiter, self.connect, lambda: self.fence.newest(self.name))


_routers: weakref.WeakSet[Router] = weakref.WeakSet()


def routers() -> list[Router]:
    """The routers of all databases that are wrapped in this process."""
    return list(_routers)
