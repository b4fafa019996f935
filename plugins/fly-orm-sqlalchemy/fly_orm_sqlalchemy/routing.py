"""What a wrapped engine's dialect and pool call: it opens routing connections, and keeps those that are of use."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import AssertionPool, ConnectionPoolEntry, PoolProxiedConnection, SingletonThreadPool, StaticPool

from fly_orm.adapters.base import Connector, Router, RoutingConnection, ping, unrouted, was_lost
from fly_orm.errors import ConfigurationError, FlyOrmError

from . import immediate, resetting
from .errors import handle_error
from .obstacles import LISTENER_CONNECTS
from .weak import weak
from .wrapped import WrappedEngine

#: In the info of a pool's record: the connection was opened for the checkout that is under way.
_NEW = "fly_orm_new"
#: They lend the same connection every time, SingletonThreadPool to each thread.
_ONE_CONNECTION = (StaticPool, SingletonThreadPool, AssertionPool)


class EngineRouting:
    """Replaces what an engine's dialect does to connect, and listens to its pool. Thread-safe."""

    def __init__(self, engine: Engine, router: Router, wrapped: WrappedEngine) -> None:
        dialect: Any = engine.dialect
        self._router = router
        self._wrapped = wrapped
        self._connector = Connector(router, defers_transactions=True)
        self._routes = router.settings.topology.primary_region is not None
        self._keeps_state = isinstance(engine.pool, _ONE_CONNECTION)
        self._connect, self._ping = dialect.connect, dialect.do_ping
        self._thread = threading.local()
        # Not a "do_connect" listener: this comes after those of the application, and so with what they have set.
        dialect.connect, dialect.do_ping = weak(self.connect), weak(self.ping)
        immediate.install(engine)
        resetting.install(dialect)
        event.listen(dialect, "handle_error", handle_error)
        event.listen(engine, "connect", self.opened, insert=True)
        event.listen(engine, "checkout", self.checked_out)
        event.listen(engine, "checkin", self.checked_in)
        has_events = "_has_events" in engine.__dict__
        event.listen(engine, "engine_disposed", self.disposed)
        if not has_events:  # or each statement would take the time to look for other listeners
            del engine.__dict__["_has_events"]

    def connect(self, *args: Any, **parameters: Any) -> Any:
        """A new connection, which is routed if it reaches a replica. The engine's dialect calls it."""
        if getattr(self._thread, "unrouted", False):
            return self._connect(*args, **unrouted(parameters))
        self._wrapped.note_address(args, parameters)
        self._thread.left_state = self._wrapped.leaves_state
        self._thread.opened = connection = self._connector.open(self._connect, *args, **parameters)
        return connection

    def connect_unrouted(self, engine: Engine) -> Any:
        """A connection as the engine opens them, that is not routed and does not belong to the pool."""
        self._thread.unrouted = True
        try:
            create: Any = engine.pool._creator  # that of create_engine(); others are refused
            return create()
        finally:
            self._thread.unrouted = False

    def ping(self, connection: Any) -> bool:
        """Whether an idle connection can be used (``pool_pre_ping``). Asks its own server, and not for the session."""
        if self._connector.is_outdated(connection):
            return False
        if not isinstance(connection, RoutingConnection):
            try:
                return bool(self._ping(connection))
            except FlyOrmError:  # the server has been superseded, and the address may lead to another one
                return False
        if was_lost(connection):
            return not self._connector.is_past_use(connection)
        ping(connection)
        return True

    def opened(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """The pool has a new connection: refuse one that was opened by something else than the dialect."""
        opened, self._thread.opened = getattr(self._thread, "opened", None), None
        record.info[_NEW] = True
        if self._routes and opened is not connection:
            connection.close()
            raise ConfigurationError(LISTENER_CONNECTS)

    def checked_out(self, connection: Any, record: ConnectionPoolEntry, proxied: PoolProxiedConnection) -> None:
        """The pool is about to lend a connection: have it replaced if it is of no use, and note who has it."""
        if record.info.pop(_NEW, False):
            self._wrapped.leaves_state = self._thread.left_state  # listeners may have made settings, as for any other
        elif self._connector.is_outdated(connection) or self._connector.is_past_use(connection):
            raise DisconnectionError("another server has to be reached")
        self._wrapped.checkouts.add(proxied)

    def checked_in(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """A connection is back: leave nothing on the primary, where it would take one of the node's places.

        A pool of one connection keeps what is there, since it lends the same connection next. After a function that has
        changed its session settings, the connection is closed.
        """
        if connection is not None and self._wrapped.leaves_state:
            record.invalidate()
        if isinstance(connection, RoutingConnection) and not connection.closed and not self._keeps_state:
            connection.leave_primary()

    def disposed(self, _engine: Engine) -> None:
        """The pool was disposed of: close what fly_orm has open to the local server, too, until it is needed."""
        self._router.forget_server()
