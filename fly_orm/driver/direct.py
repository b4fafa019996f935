"""Connections to a primary: psycopg2's own, whose statements are recorded in the session's activity, if it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from threading import get_ident
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2 import extensions as ext

from ..classify.statement import Kind, Statement
from ..errors import FlyOrmError
from ..local.instance import Instance
from ..observing.listeners import listeners
from ..observing.log import DEBUG, logs
from ..postgres.client_check import WATCH
from ..postgres.connecting import server_name
from ..postgres.libpq import execute_unnoticed
from ..postgres.making_way import make_way_for
from ..sessions.context import current
from ..sessions.operation import Operation, current_operation
from ..sessions.running import is_observed, is_running, note_served
from ..sessions.served import Route, Served
from ..sessions.session import Session
from . import copying, observed
from .holding import Hold
from .implicit_transactions import in_autocommit
from .mixing import mix
from .operating import ended, operating
from .raw_parameters import PLAIN, SEQUENCES, statement_of_rows, statement_with
from .text import call_text, text_of

_PRIMARY_REGION = "this region has the primary"
#: Recorded in place of the FETCH of a named cursor.
_FETCH = "TABLE fetched"
_NOTHING: AbstractContextManager[None] = nullcontext()
_execute_here = ext.cursor.execute


class DirectCursor(ext.cursor):
    """A cursor on a primary that records its statements in the session's activity."""

    connection: Any  # a DirectConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        connection = self.connection
        if vars is not None:
            for value in vars.values() if type(vars) is dict else vars if type(vars) in SEQUENCES else (vars,):
                if type(value) not in PLAIN:
                    if (known := statement_with(self, query, vars)) is not None:
                        with self._recorded(query, lambda: [self.mogrify(query, vars)], known=known):
                            return super().execute(query, vars)
                    break
        statement = connection.router.classify(query if type(query) is str else text_of(query, self), connection)
        if statement.is_plain_read and connection.note_plain_read(statement):
            if listeners.statements or logs(DEBUG):
                with observed.block(self, query, kind="read", served=connection.served):
                    return _execute_here(self, query, vars)
            return _execute_here(self, query, vars)
        with self._recorded(query, lambda: [self.mogrify(query, vars)]):
            return super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        if current_operation() is not None:
            vars_list = list(vars_list)  # they are read twice
        count = 1
        if is_observed() and not is_running():
            vars_list = list(vars_list)  # they are counted
            count = len(vars_list)
        known = statement_of_rows(self, query, vars_list) if type(vars_list) in SEQUENCES else None
        with self._recorded(query, lambda: [self.mogrify(query, row) for row in vars_list], count, known):
            return super().executemany(query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        query = call_text(procname, parameters, self)
        known = statement_with(self, query, parameters) if parameters else None
        with self._recorded(query, lambda: [self.mogrify(query, parameters or None)], known=known):
            return super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        with self._recorded(sql, lambda: [self.mogrify(sql)]):
            return super().copy_expert(sql, file, size)

    def copy_from(
        self, file: Any, table: Any, sep: Any = "\t", null: Any = "\\N", size: int = 8192, columns: Any = None
    ) -> None:
        def sqls() -> list[bytes]:
            return [self.mogrify(copying.statement("FROM stdin", table, sep, null, columns, self))]

        if current_operation() is not None and columns is not None:
            columns = list(columns)  # they are read twice
        with self._recorded("COPY t FROM stdin", sqls):
            return super().copy_from(file, table, sep, null, size, columns)

    def copy_to(self, file: Any, table: Any, *args: Any, **options: Any) -> None:
        with self._recorded("COPY t TO stdout"):
            return super().copy_to(file, table, *args, **options)

    def _recorded(
        self,
        query: Any,
        sqls: Callable[[], Sequence[bytes]] = list,
        count: int = 1,
        known: Statement | None = None,
    ) -> AbstractContextManager[None]:
        running = observed.running(self, query, count=count) if is_observed() else None
        if running is None:
            return self._block(query, sqls, known)
        return observed.within(running, partial(self._block, query, sqls, known))

    def _block(
        self, query: Any, sqls: Callable[[], Sequence[bytes]] = list, known: Statement | None = None
    ) -> AbstractContextManager[None]:
        connection, session = self.connection, current()
        connection.thread = get_ident()
        connection.check_current(session)
        if session.invocation is not None:
            connection.end_with_process(session.invocation)
        session.note_primary(connection.database, connection.router.primary_source)
        note_served(session, connection.served)
        if connection.detour is not None:
            connection.router.local.detour.used(connection.detour)
        activity = session.activity
        text = text_of(query, self)
        statement = known or connection.router.classify(text, connection)
        if connection.hold is not None:
            connection.hold.check(statement)
        if statement.kind is Kind.WRITE:
            make_way_for(text)
        if statement.asynchronous:
            connection.asynchronous = True  # from now on, and for every session that uses the connection
        if activity is not None and connection.asynchronous:
            activity.of(connection.router).asynchronous = True
        block = activity.statement(connection.router, connection, statement) if activity is not None else _NOTHING
        block = connection.noticing_moves(block) if connection.pooled else block
        operation = current_operation()
        return block if operation is None else connection.operating(statement, operation, sqls, block)


class DirectNamedCursor(DirectCursor):
    """A named cursor: each fetch is a statement that runs on the server, and that can be cancelled."""

    def fetchone(self) -> Any:
        with self._fetching():
            return super().fetchone()

    def fetchmany(self, size: Any = None) -> Any:
        with self._fetching():
            return super().fetchmany(*(() if size is None else (size,)))

    def fetchall(self) -> Any:
        with self._fetching():
            return super().fetchall()

    def __next__(self) -> Any:
        asks = self.rownumber >= self.rowcount  # otherwise the row is here already
        with self._fetching() if asks else self._block(_FETCH):
            return super().__next__()

    def _fetching(self) -> AbstractContextManager[None]:
        running = observed.running(self, "FETCH", kind="read") if is_observed() else None
        return self._block(_FETCH) if running is None else observed.within(running, partial(self._block, _FETCH))


class DirectConnection(ext.connection):
    """A connection to a primary. Its cursors are psycopg2's own where there is nothing to record."""

    router: Any
    defers_transactions = False
    """Without effect here; see :class:`fly_orm.driver.connection.RoutingConnection`."""
    asynchronous = False
    """Whether commits may not wait for their WAL: ``synchronous_commit`` was set, and may still be."""
    database: str
    """The database's name on the nodes."""
    instance: Instance | None
    """The server that it has reached; None behind a pooler. Not known in the primary region."""
    pooled = False
    """Whether a pooler in a secondary region is in between, which may lead to another server at any time."""
    moved = False
    """Whether a pool should replace it: its server has refused to write, as a replica does, or was superseded."""
    detour: int | None = None
    """The detour that the connection is part of, in a secondary region; see :class:`fly_orm.local.detour.Detour`."""
    fence_version = 0
    """The version of the fence by which the server was last found to be current."""
    served: Served
    """What :func:`fly_orm.why` shows of its statements."""
    watched_for: Any = None
    """The invocation for which the server watches whether this process is alive."""
    operation: Operation | None = None
    """The operation that its transaction is, if it has taken the key of one."""
    thread: int | None = None
    """The last thread that has used it for more than a plain read."""
    hold: Hold | None = None
    """What keeps its transaction open, while an exactly-once function runs in it."""

    def reached_primary(self) -> None:
        """Note where the connection, which is new, leads to."""
        router, topology = self.router, self.router.settings.topology
        self.database = router.name
        self.fence_version = router.fence.version
        if topology.is_primary:
            self.served = router.local.served_at(server_name(self.info.host, self.info.port))[_PRIMARY_REGION]
        else:
            instance = self.instance
            self.pooled = instance is None
            server = None if instance is None else str(instance)
            self.served = Served(route=Route.PRIMARY, why="the connection leads to the primary itself", server=server)
            self.detour = router.local.detour.primary_reached(self, instance, self.database, topology.region)

    @contextmanager
    def operating(
        self,
        statement: Statement,
        operation: Operation,
        sqls: Callable[[], Sequence[bytes]],
        block: AbstractContextManager[None],
    ) -> Iterator[None]:
        """The block, in which a statement runs that belongs to an operation of the application's."""
        outer = _NOTHING if self.hold is not None else operating(self, statement, operation, sqls)
        with outer, block:
            yield

    @contextmanager
    def noticing_moves(self, block: AbstractContextManager[None]) -> Iterator[None]:
        """The block, in which a refusal to write shows that the pooler leads to a replica now."""
        with block:
            try:
                yield
            except psycopg2.errors.ReadOnlySqlTransaction:
                self.moved = True
                raise

    def note_plain_read(self, statement: Statement) -> bool:
        """Check and record a read that calls no function of the user's; False, and nothing, if that takes a block."""
        session = current()
        ordinary = self.detour is None and self.hold is None and not (self.pooled or statement.asynchronous)
        if not ordinary or session.invocation is not None or current_operation() is not None:
            return False
        self.check_current(session)
        session.served = self.served
        session.note_primary(self.database, self.router.primary_source)
        if session.activity is not None:
            session.activity.record(self.router, statement)
            if self.asynchronous:
                session.activity.of(self.router).asynchronous = True
        return True

    def check_current(self, session: Session) -> None:
        """Raise NotPrimary if the server was superseded, by what this process or the session has seen.

        An open transaction goes on.
        """
        version, check = self.router.fence.version, self.router.primary_check
        known = session.watermarks.known(self.database)
        seen = None if known is None else known.history
        if version == self.fence_version and (seen is None or check.is_current(seen)):
            return
        if self.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            return
        try:
            with in_autocommit(self):
                check.allows(self, seen=seen)
        except FlyOrmError as error:
            self.moved = True  # the address may lead to the new primary by now
            raise self.router.driver_error(error) from None
        self.fence_version = version

    def end_with_process(self, invocation: Any) -> None:
        """Let what runs for a function end if this process dies, so that its caller need not fear a late write."""
        if invocation is self.watched_for or self.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            return
        self.watched_for = invocation  # after it, the session is reset
        execute_unnoticed(self, WATCH)

    def cursor(
        self, name: Any = None, cursor_factory: Any = None, withhold: bool = False, scrollable: bool | None = None
    ) -> Any:
        ordinary = name is None and cursor_factory is None and scrollable is None and self.cursor_factory is None
        if ordinary and not (withhold or self.closed):
            cursor = _DIRECT_CURSOR(self)  # the same as below, in half the time
            cursor.scrollable = None
            return cursor
        factory: Any = cursor_factory or self.cursor_factory or ext.cursor  # type: ignore[truthy-function]  # may be None
        if not isinstance(factory, type):
            self._note_anything()  # its cursors may do anything
        elif not issubclass(factory, DirectCursor):
            factory = _direct_class(factory, DirectCursor if name is None else DirectNamedCursor)
        return super().cursor(name, factory, withhold, scrollable)

    def lobject(self, *args: Any, **kwargs: Any) -> Any:
        self._note_anything()
        return super().lobject(*args, **kwargs)

    def commit(self) -> None:
        if self.hold is not None:
            self.hold.refuse_commit()
        session = current()
        # Again: since the last statement, the session may have read on a replica, over another connection.
        session.note_primary(self.database, self.router.primary_source)
        if session.activity is not None:
            session.activity.check()
        committed = self.get_transaction_status() == ext.TRANSACTION_STATUS_INTRANS
        with self._ending("COMMIT"):
            super().commit()
        ended(self, committed=committed)

    def rollback(self) -> None:
        if self.hold is not None:
            self.hold.ended = True
        with self._ending("ROLLBACK"):
            super().rollback()
        self.operation = None

    def _ending(self, sql: str) -> AbstractContextManager[None]:
        """A block in which the transaction ends, if one is open."""
        if not is_observed() or self.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE:
            return _NOTHING
        return observed.end(self, sql, self.served)

    def _note_anything(self) -> None:
        """Note in the session that it may do anything with the primary."""
        session = current()
        session.note_primary(self.database, self.router.primary_source)
        if session.activity is not None:
            session.activity.of(self.router).wrote = True


_classes: dict[Any, Any] = {}


def _direct_class(factory: Any, direct: type[DirectCursor]) -> Any:
    key = factory, direct
    return _classes.get(key) or _classes.setdefault(key, mix(factory, direct))


_DIRECT_CURSOR = _direct_class(ext.cursor, DirectCursor)
