"""An engine as the router sees it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from psycopg2 import extensions as ext
from sqlalchemy import Engine

from fly_orm.adapters.base import WrappedDatabase, function_activity
from fly_orm.errors import ConfigurationError, NotSupported

from .checkouts import Checkouts, is_busy
from .joining import Joining
from .obstacles import obstacle
from .sessions import sessions_of_function

log = logging.getLogger("fly_orm")


class Opening(Protocol):
    """What opens connections of fly_orm's own."""

    def connect_unrouted(self, engine: Engine) -> Any:
        """A connection as the engine opens them, that is not routed and does not belong to the pool."""


class WrappedEngine(WrappedDatabase):
    """An engine lends connections of its pool to whoever asks, in any thread."""

    transaction_ends_by = "session.commit() and session.rollback() end what a Session has begun, if only by a read"
    routing: Opening | None = None
    """None if the engine cannot be routed, as is :attr:`joining`."""
    joining: Joining | None = None

    def __init__(self, engine: Engine) -> None:
        # An engine that nobody refers to any more may go, although its sessions have a watermark in the router.
        self._engine = weakref.ref(engine)
        self._name = engine.url.database
        self.reference: Callable[[], Any] = lambda: None
        """Returns the router of the engine."""
        self.checkouts = Checkouts()

    @property
    def alive(self) -> Engine | None:
        """The engine; None if nobody refers to it any more."""
        return self._engine()

    @property
    def engine(self) -> Engine:
        """The engine. ConfigurationError if it is gone."""
        engine = self._engine()
        if engine is None:
            raise ConfigurationError("the engine was garbage-collected; keep a reference to an engine that is in use")
        return engine

    def note_address(self, args: Sequence[Any], parameters: Mapping[str, Any]) -> None:
        """Note the name of the database that a connection is about to be opened to."""
        address = {name: value for name, value in parameters.items() if name in ("dsn", "dbname", "service")}
        name = ext.parse_dsn(ext.make_dsn(*args[:1], **address)).get("dbname") if args or address else None
        if name is not None:
            self._name = str(name)

    def name(self) -> str:
        if self._name is None:
            connection = self.connect()
            try:
                self._name = str(connection.info.dbname)
            finally:
                connection.close()
        return str(self._name)

    def connect(self) -> Any:
        if self.routing is None:
            raise NotSupported(f"{obstacle(self.engine)}, so fly_orm cannot serve it")
        connection = self.routing.connect_unrouted(self.engine)
        connection.autocommit = True
        return connection

    def in_transaction(self) -> bool:
        return self.checkouts.in_transaction()

    def close_thread_connections(self) -> None:
        for proxied in self.checkouts.open():
            proxied.invalidate()

    @contextmanager
    def function_scope(self) -> Iterator[None]:
        try:
            with sessions_of_function():
                yield
        finally:
            self._take_back()

    def transaction(self) -> AbstractContextManager[Any]:
        if self.joining is None:
            return super().transaction()
        return self.joining.transaction(self.engine)

    @property
    def leaves_state(self) -> bool:
        """Whether the function that runs here for a caller elsewhere may have changed session settings."""
        activity = function_activity(self.reference())
        return activity is not None and activity.leaves_state

    @leaves_state.setter
    def leaves_state(self, value: bool) -> None:
        activity = function_activity(self.reference())
        if activity is not None:
            activity.leaves_state = value

    def _take_back(self) -> None:
        """Close the connections that the function has not given back, which rolls back what is open on them."""
        left = self.checkouts.open()
        if any(is_busy(proxied.dbapi_connection) for proxied in left):
            log.warning(
                "a function left a transaction on %r open; it is rolled back",
                self.name(),
                extra={"event": "function_left_open", "database": self.name()},
            )
        for proxied in left:
            proxied.invalidate()
