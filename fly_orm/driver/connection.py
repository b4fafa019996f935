"""The routing connection: psycopg2's own to the local server, which sends to the primary what belongs there.

A real subclass, since ``register_type``, ``as_string``, ``quote_ident`` and others look at the C type. Its C half is in
autocommit, except while a transaction is open here that the DB-API wants: all others are begun by SQL.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import NotSupported, ReplicationTimeout
from ..postgres.recovery import is_replica
from ..routing.decide import Action, Decision, State, decide
from ..routing.remote_connection import RemoteConnection
from ..routing.router import Router
from ..routing.unsupported import ASYNCHRONOUS, REFUSALS
from ..sessions.context import current
from .classes import cursor_classes
from .cursor import RoutingCursor, refusal
from .info import RoutingInfo
from .modes import ConnectionModes
from .text import text_of
from .transaction_mode import TransactionMode

log = logging.getLogger("fly_orm")

_ROUTED_CURSOR = cursor_classes(ext.cursor).local
_COMMIT = Statement(kind=Kind.COMMIT, why="COMMIT", simple=True)
_ROLLBACK = Statement(kind=Kind.ROLLBACK, why="ROLLBACK", simple=True)


class RoutingConnection(ConnectionModes):
    """A connection to this region's server. On a primary it is, and becomes on promotion, a plain one."""

    router: Router
    plain_class: Any
    """What a connection to a primary is an instance of."""
    defers_transactions = False
    """Whether a transaction that the DB-API wants begins only with a statement that needs the primary."""

    def __init__(self, dsn: str, *args: Any, **kwargs: Any) -> None:
        if any(args) or any(kwargs.values()):
            raise self.router.driver_error(NotSupported(ASYNCHRONOUS))
        super().__init__(dsn, *args, **kwargs)
        _set_c_autocommit(self, True)
        routes = self._routes()
        self.router.local.at_primary = not routes
        if not routes:
            _set_c_autocommit(self, False)
            self.__class__ = self.plain_class
            return
        self.link = RemoteConnection(self, self.router)
        self._mode = TransactionMode()
        self._entered = self._begun = self._was_here = False
        self._set_here: list[tuple[Statement, bytes]] = []
        self.router.forwarder.warm_up()

    # What cursors ask

    @property
    def free(self) -> bool:
        """Whether nothing of this connection keeps a read from running here."""
        link = self.link
        return (
            link.transaction is None
            and not (link.kept or link.settings.primary_only or self._entered)
            and (self._mode.autocommit or (self.defers_transactions and not self._begun and not self.promoted))
            and not self.router.reads_there
        )

    @property
    def begins(self) -> bool:
        """Whether the next statement begins a transaction, as the DB-API wants it."""
        return self._implicit and not self._begun

    @property
    def holds_cursors(self) -> bool:
        """Whether a cursor that was declared on the primary can still be there."""
        transaction = self.link.transaction
        return self.link.kept if transaction is None else not transaction.failed

    def statement(self, query: Any, cursor: Any = None) -> Statement:
        """What is known about a statement, given as psycopg2 takes it."""
        if type(query) is str:
            return self.router.classify(query)
        return self.router.classify(text_of(query, cursor or self))

    def decide(self, statement: Statement) -> Decision:
        """What to do with a statement now; begins the transaction that the DB-API wants around it."""
        self._check_open()
        if self.begins and not (self.defers_transactions and statement.kind is Kind.READ and not self.promoted):
            self._begin_implicitly()
        decision = decide(statement, self._state(statement))
        if decision.action is Action.FORWARD and self.begins:
            self._begin_implicitly()
            decision = decide(statement, self._state(statement))
        if decision.action is Action.REFUSE:
            raise self.router.driver_error(NotSupported(REFUSALS[statement.kind]))
        session = current()
        session.read.add(self.router.reference)
        if session.activity is not None and decision.action is Action.HERE and self.promoted:
            session.activity.record(self.router, statement, "")
        elif session.activity is not None:
            session.activity.of(self.router).leaves_state |= statement.pins or statement.kind is Kind.SET
        return decision

    def refusal(self, error: psycopg2.Error) -> str:
        """Why to ask the primary after this error of a read; raises it if it is the answer."""
        if self._transaction_here:
            raise error
        why = refusal(error)
        if self.begins:
            self._begin_implicitly()  # what it writes there is to be committed, or not, with the rest
        return why

    def changed_setting(self, sql: bytes, statement: Statement, why: str) -> None:
        """Note a setting that was changed here, and change it in the session on the primary, if there is one."""
        with self.link.lock:
            self.link.settings.remember(statement, sql)
            if statement.resets and statement.why.startswith("DISCARD"):
                self.link.end()
            elif self.link.kept:
                self.link.forward([sql], statement, why)

    def settle(self, statement: Statement, sql: bytes, status_message: str | None) -> None:
        """Take over the settings of a read-only transaction here when it commits, and forget them otherwise."""
        if statement.kind is Kind.SET:
            self._set_here.append((statement, sql))
        elif not self._transaction_here:
            settings, self._set_here = self._set_here, []
            for setting in settings if status_message == "COMMIT" else ():
                self.link.settings.remember(*setting)

    def apply_setting(self, sql: bytes, statement: Statement) -> None:
        """Change a setting here that a committed transaction has changed on the primary."""
        if not statement.primary_only:
            try:
                with ext.cursor(self) as cursor:
                    cursor.execute(sql)
            except psycopg2.Error as error:  # of a COMMIT that succeeded it must not make a failure
                log.warning("a setting that was committed on the primary cannot be had here: %s", error)
        self.link.settings.remember(statement, sql)

    # The DB-API

    def cursor(
        self, name: Any = None, cursor_factory: Any = None, withhold: bool = False, scrollable: bool | None = None
    ) -> Any:
        ordinary = name is None and cursor_factory is None and scrollable is None and self.cursor_factory is None
        if ordinary and not (withhold or self.closed):
            cursor = _ROUTED_CURSOR(self)  # as below, in half the time
            cursor.scrollable = None
            return cursor
        factory: Any = cursor_factory or self.cursor_factory or ext.cursor  # type: ignore[truthy-function]  # may be None
        if not isinstance(factory, type):
            raise self.router.driver_error(
                NotSupported("cursor_factory must be a class derived from psycopg2's cursor")
            )
        if not issubclass(factory, RoutingCursor):
            factory = cursor_classes(factory).local
        return super().cursor(name, factory, withhold, scrollable)

    def commit(self) -> None:
        self._check_open()
        self._end(_COMMIT, "COMMIT")

    def rollback(self) -> None:
        self._check_open()
        self._end(_ROLLBACK, "ROLLBACK")

    def close(self) -> None:
        with self.link.lock:
            self.link.end()
        super().close()

    def cancel(self) -> None:
        self._check_open()
        if not self.link.cancel():
            super().cancel()

    def reset(self) -> None:
        with self.link.lock:
            self.link.end()
            self.link.settings.forget()
        super().reset()
        _set_c_autocommit(self, True)
        self._mode = TransactionMode()
        self._begun = False

    def __enter__(self) -> Any:
        self._check_open()
        if self._entered:
            raise psycopg2.ProgrammingError("the connection cannot be re-entered recursively")
        self._entered = True
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            self.commit() if kind is None else self.rollback()
        finally:
            self._entered = False

    def __del__(self) -> None:
        link = self.__dict__.get("link")
        if link is not None:
            link.abandon()

    def get_transaction_status(self) -> int:
        transaction = self.link.transaction
        return super().get_transaction_status() if transaction is None or self.closed else transaction.status

    @property
    def info(self) -> Any:
        return RoutingInfo(self)

    def set_client_encoding(self, encoding: str) -> None:
        self._check_open()
        if _normal(encoding) == _normal(self.encoding):
            return  # and what is open stays open
        self._end(_ROLLBACK, "ROLLBACK")
        super().set_client_encoding(encoding)
        with self.link.lock:
            self.link.follow_encoding()

    # What cannot work

    def lobject(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a large object lives on the primary and cannot be opened from a replica; use a bytea column")

    def xid(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse(REFUSALS[Kind.TWO_PHASE])

    tpc_begin = tpc_prepare = tpc_commit = tpc_rollback = tpc_recover = xid

    def _refuse(self, message: str) -> NoReturn:
        raise self.router.driver_error(NotSupported(message))

    # State

    def _routes(self) -> bool:
        """Whether statements are routed: on a primary, there is nothing to route."""
        return is_replica(self)

    @property
    def promoted(self) -> bool:
        """Whether the local server is a primary by now."""
        return self.get_parameter_status("in_hot_standby") == "off"

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, here or on the primary."""
        return self._begun or self.link.transaction is not None or self._transaction_here

    @property
    def _implicit(self) -> bool:
        return not self._mode.autocommit or self._entered

    @property
    def _transaction_here(self) -> bool:
        """Whether a transaction is open on the replica; as it was last, while another thread's statement runs."""
        status = super().get_transaction_status()
        if status != ext.TRANSACTION_STATUS_ACTIVE:
            self._was_here = status in (ext.TRANSACTION_STATUS_INTRANS, ext.TRANSACTION_STATUS_INERROR)
        return self._was_here

    def _state(self, statement: Statement) -> State:
        transaction = self.link.transaction
        reads = statement.kind is Kind.READ or statement.read_only
        promoted = self.router.local.at_primary = self.promoted
        here, kept = self._transaction_here, self.link.kept
        undecided = transaction is None and not (promoted or here or kept)
        return State(
            promoted=promoted,
            here=here,
            remote=transaction is not None,
            failed=transaction is not None and transaction.failed,
            kept=kept,
            primary_settings=self.link.settings.primary_only,
            pinned=reads and undecided and self.router.pinned(current()),  # which may wait
        )

    def _begin_implicitly(self) -> None:
        self._begun = True
        if self.link.transaction is not None:
            self.link.transaction.pending.append(self._mode.begin.encode())  # for the server to warn of
            return
        statement = Statement(kind=Kind.BEGIN, why="BEGIN", simple=True, read_only=self._mode.replica_serves)
        if decide(statement, self._state(statement)).action in (Action.BEGIN_HERE, Action.HERE):
            # Begun by the C half, which declares no cursor in a transaction that it has not begun.
            _set_c_autocommit(self, False)
            if self._mode.set_transaction:
                with ext.cursor(self) as cursor:
                    cursor.execute(self._mode.set_transaction)
        else:
            self.link.begin(self._mode.begin.encode())

    def _end(self, statement: Statement, sql: str) -> None:
        """End what was begun implicitly; whatever comes of it, it is over, as psycopg2 has it."""
        begun, self._begun = self._begun, False
        if not begun:
            return
        if self.link.transaction is None:
            self._end_here(statement, sql)
        else:
            if not _c_autocommit(self):  # what the C half has begun, a command of the caller's has ended
                known = len(self.notices)
                self._end_c(statement)
                del self.notices[known:]  # that there was nothing to end
            with self.link.lock:
                try:
                    (self.link.commit if statement is _COMMIT else self.link.rollback)(sql.encode(), statement)
                except ReplicationTimeout as late:
                    late.result = None  # no cursor has it
                    raise

    def _end_here(self, statement: Statement, sql: str) -> None:
        if _c_autocommit(self):  # a command of the caller's has ended it, of which the server warns
            with ext.cursor(self) as cursor:
                cursor.execute(sql)
            return
        failed = super().get_transaction_status() == ext.TRANSACTION_STATUS_INERROR
        self._end_c(statement)
        self.settle(statement, sql.encode(), "ROLLBACK" if failed else sql)

    def _end_c(self, statement: Statement) -> None:
        try:
            super().commit() if statement is _COMMIT else super().rollback()
        finally:
            if not self.closed:
                _set_c_autocommit(self, True)


def _normal(encoding: str) -> str:
    """The name of an encoding as psycopg2 compares it."""
    return "".join(filter(str.isalnum, encoding)).upper()


def _c_autocommit(connection: ext.connection) -> bool:
    """What the routing connection's own property hides."""
    return bool(ext.connection.autocommit.__get__(connection))  # type: ignore[attr-defined]  # a C descriptor


def _set_c_autocommit(connection: ext.connection, value: bool) -> None:
    ext.connection.autocommit.__set__(connection, value)  # type: ignore[attr-defined]  # a C descriptor
