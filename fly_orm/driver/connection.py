"""The routing connection: psycopg2's own connection to the local server, which forwards what needs the primary.

A real subclass, since ``register_type``, ``as_string``, ``quote_ident`` and others check the C type.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import msgspec
import psycopg2
from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import ConfigurationError, NotPrimary, NotSupported
from ..local.instance import Instance
from ..position import Position
from ..postgres.recovery import is_replica
from ..routing.decide import Action, Decision, State, decide
from ..routing.freshness import NOT_AT_ALL, Waited
from ..routing.remote_connection import RemoteConnection
from ..routing.replica_errors import why_ask_primary
from ..routing.session_following import LOCKED, took_locks
from ..routing.setting_changes import change_setting, take_encoding
from ..routing.unsupported import ASYNCHRONOUS, UNSUPPORTED
from ..sessions.context import current
from ..sessions.running import note_decided
from ..sessions.served import Route
from ..sessions.session import Session
from .classes import cursor_classes
from .implicit_transactions import set_c_autocommit
from .info import RoutingInfo
from .observed import tell_of_refusal
from .plain_reads import PlainReads
from .text import text_of
from .transaction_here import may_leave, need_not_wait_here
from .transaction_mode import TransactionMode

log = logging.getLogger("fly_orm")

_LOCAL = frozenset({Action.READ_HERE, Action.READ_IF_SHOWN, Action.HERE, Action.BEGIN_HERE})
_ROUTING_CURSOR = cursor_classes(ext.cursor).local


class RoutingConnection(PlainReads):
    """A connection to this region's server. If that is a primary, :attr:`direct_class` takes this class's place."""

    database: str
    instance: Instance | None
    """The server that it has reached; None behind a pooler, and for one that may not be the primary."""
    pooled = False
    """Whether there is a pooler in between."""
    source: tuple[Any, Instance | None]
    """Stands for the database on that server in the sessions that have read it."""
    moved = False
    """Whether the pooler was last seen to lead to a primary."""
    shown: Position | None
    """The last pin of a session that the server was found to show."""
    direct_class: Any
    """The class of a connection that turns out to reach the primary."""
    unchecked_class: Any
    """The class of a connection that reaches a server which takes writes, and may not be the primary."""

    def __init__(self, dsn: str, *args: Any, **kwargs: Any) -> None:
        if any(args) or any(kwargs.values()):
            raise self.router.driver_error(NotSupported(ASYNCHRONOUS))
        super().__init__(dsn, *args, **kwargs)
        set_c_autocommit(self, True)
        routes = self._routes()
        if not routes and self._may_write():
            self.router.local.at_primary = True
            self.__class__ = self.direct_class
            self.reached_primary()
            set_c_autocommit(self, False)
            return
        self.router.local.at_primary = False
        self.database = self.router.name
        self._may_write_here, self._fence_version = False, 0
        self._note_server(self.instance if routes else None)
        if routes:
            self.router.local.detour.replica_reached(self.instance)
        self.remote = RemoteConnection(self, self.router, self._start)
        self.remote.session_settings.start_is_old = self.router.freshness.may_lack(current(), self)
        self.mode = TransactionMode()
        self.entered = self._begun = self._was_here = False
        self.router.forwarder.warm_up(self.database)

    def reached_primary(self) -> None:
        """What :attr:`direct_class` does with a connection that has reached a primary."""
        raise NotImplementedError

    # What cursors ask

    @property
    def holds_cursors(self) -> bool:
        """Whether cursors declared on the primary may still be open there."""
        transaction = self.remote.transaction
        return self.remote.has_state if transaction is None else not transaction.failed

    def statement(self, query: Any, cursor: Any = None) -> Statement:
        """The classification of a statement, which is given in any form that psycopg2 accepts."""
        if type(query) is str:
            return self.router.classify(query, self)
        return self.router.classify(text_of(query, cursor or self), self)

    def route(self, statement: Statement) -> Decision:
        """Do what has to precede a statement, and decide what to do with it.

        That is to wait for the replica, if the session's reads have to, and to begin the transaction that the DB-API
        wants around it.
        """
        self._check_open()
        if self.promoted and not self._is_checked():
            return self.route(statement)  # that of another class
        session = current()
        defers = self.may_defer(statement) and not self.promoted
        begins = self.begins and not defers
        waited = self._catch_up(self._implicit_begin if begins else statement, session, defers=defers)
        if begins:
            self._begin_implicitly()
        decision = decide(statement, self._state(defers=defers))
        if decision.action is Action.FORWARD and self.begins:
            self._begin_implicitly()
            decision = decide(statement, self._state())
        elif decision.action is Action.MOVE:
            decision = self.decide_after_move(statement)
        if decision.action is Action.REFUSE:
            raise self.router.driver_error(NotSupported(UNSUPPORTED[statement.kind]))
        if self.held_cursors is not None and not (defers and decision.action is Action.READ_HERE):
            self.held_cursors.watch()
        self._record(statement, decision, session)
        note_decided(Route.LOCAL if decision.action in _LOCAL else Route.PRIMARY, decision.why)
        return msgspec.structs.replace(decision, waited=waited.seconds) if waited.seconds else decision

    def why_ask_primary(self, error: psycopg2.Error, statement: Statement) -> str:
        """Why to repeat a read on the primary after the replica's error; raises the error if it is the answer."""
        if self._transaction_here:
            raise error
        try:
            why = LOCKED if took_locks(self, statement.changes) else why_ask_primary(error)
        except psycopg2.Error:
            self.note_failed_read(error)
            raise
        tell_of_refusal(self.database, why, error)
        self.begin_on_primary()
        return why

    def changed_setting(self, sql: bytes, statement: Statement, why: str) -> None:
        """Change a setting that was changed on the replica in the Postgres session on the primary, if it has state."""
        with self.remote.lock:
            change_setting(self, sql, statement, why)

    # The DB-API

    def cursor(
        self, name: Any = None, cursor_factory: Any = None, withhold: bool = False, scrollable: bool | None = None
    ) -> Any:
        ordinary = name is None and cursor_factory is None and scrollable is None and self.cursor_factory is None
        if ordinary and not (withhold or self.closed):
            cursor = _ROUTING_CURSOR(self)  # the same as below, in half the time
            cursor.scrollable = None
            return cursor
        factory: Any = cursor_factory or self.cursor_factory or ext.cursor  # type: ignore[truthy-function]  # may be None
        if isinstance(factory, type):
            factory = cursor_classes(factory, named=name is not None).new
            return super().cursor(name, factory, withhold, scrollable)
        made = super().cursor(name, factory, withhold, scrollable)
        try:
            made.__class__ = cursor_classes(type(made), named=name is not None).new
        except TypeError:  # it is psycopg2's own class, and not one that derives from it
            message = "cursor_factory must return a cursor of a class that derives from psycopg2's, or be such a class"
            raise self.router.driver_error(NotSupported(message)) from None
        return made

    def commit(self) -> None:
        if not self.closed and self.promoted:
            current().note_primary(self.database, self.router.primary_source)
        super().commit()

    def close(self) -> None:
        with self.remote.lock:
            self.remote.end()
        super().close()

    def cancel(self) -> None:
        self._check_open()
        if not self.remote.cancel():
            super().cancel()

    def reset(self) -> None:
        with self.remote.lock:
            self.remote.end()
            self.remote.session_settings.forget()
        self.end_held(committed=False)
        self.ends += 1  # after which no named cursor is valid
        super().reset()
        set_c_autocommit(self, True)
        self.remote.session_settings.fit_replica(self)
        self.mode = TransactionMode()
        self._begun = False
        self.__dict__.pop("defers_transactions", None)

    def __del__(self) -> None:
        remote = self.__dict__.get("remote")
        if remote is not None:
            remote.abandon()

    def get_transaction_status(self) -> int:
        transaction = self.remote.transaction
        return super().get_transaction_status() if transaction is None or self.closed else transaction.status

    @property
    def info(self) -> Any:
        return RoutingInfo(self)

    def set_client_encoding(self, encoding: str) -> None:
        self._check_open()
        if _normal(encoding) == _normal(self.encoding):
            return  # psycopg2 does not roll back then
        self.rollback()
        super().set_client_encoding(encoding)
        with self.remote.lock:
            take_encoding(self)

    # Not supported

    def lobject(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a large object lives on the primary and cannot be opened from a replica; use a bytea column")

    def xid(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse(UNSUPPORTED[Kind.TWO_PHASE])

    tpc_begin = tpc_prepare = tpc_commit = tpc_rollback = tpc_recover = xid

    def _refuse(self, message: str) -> NoReturn:
        raise self.router.driver_error(NotSupported(message))

    # State

    def _routes(self) -> bool:
        """Find out which server this is, and whether statements are routed; on a primary they are not."""
        if self.router.settings.topology.is_primary and not is_replica(self):
            self.instance = None  # nobody needs it
            return False
        self.instance, self._start = self.router.local.begin(self)
        self.pooled = self.instance is None
        return is_replica(self, pooled=self.pooled)

    def _is_checked(self) -> bool:
        """Whether statements may run on the promoted server; otherwise this becomes an unchecked connection.

        It is checked again whenever this process has seen a newer timeline. An open transaction goes on.
        """
        version = self.router.fence.version
        known = self._may_write_here and self._fence_version == version
        if known or self.remote.transaction is not None or self._transaction_here:
            return True
        before = self._may_write_here
        self._may_write_here, self._fence_version = self._may_write(), version
        if self._may_write_here and not before:
            self.remote.session_settings.leave_replica(self)
        return self._may_write_here

    def _may_write(self) -> bool:
        """Whether the server, which is not in recovery, is the primary; otherwise this becomes an unchecked connection.

        ConfigurationError or NotPrimary if it certainly is another server. The connection is closed then.
        """
        try:
            if self.router.primary_check.allows(self, self.instance):
                return True
        except (ConfigurationError, NotPrimary) as error:
            ext.connection.close(self)
            raise self.router.driver_error(error) from None
        self.__class__ = self.unchecked_class
        self._routes()
        self._note_server(None)
        return False

    def _note_server(self, instance: Instance | None) -> None:
        """Note which server the connection has reached."""
        self.instance = instance
        self.source = self.router.reference, instance
        self.shown = None
        self._serve_as(self.router.local.served_by(instance))
        if instance is not None:
            try:
                self.router.local.replica.meet(self)
            except ConfigurationError as error:
                ext.connection.close(self)
                raise self.router.driver_error(error) from None
            if self.get_parameter_status("in_hot_standby") == "on":
                self.router.primary_check.saw_replica(instance.run)

    @property
    def promoted(self) -> bool:
        """Whether the local server has been promoted since the connection was opened.

        A pooler reports what some server was at some time, and the next statement may reach another one. Behind it,
        statements go on being routed: the nodes know where the primary is.
        """
        return self.get_parameter_status("in_hot_standby") == "off" and not self.pooled

    def _state(self, *, defers: bool = False) -> State:
        transaction, session, freshness = self.remote.transaction, current(), self.router.freshness
        if defers:
            transaction = None
        here = self._transaction_here
        pinned = self.remote.session_settings.pins_reads or freshness.is_pinned(session, self)
        return State(
            promoted=self.promoted,
            here=here,
            may_leave=here and pinned and may_leave(self),
            remote=transaction is not None,
            failed=transaction is not None and transaction.failed,
            primary_has_state=self.remote.has_state,
            primary_settings=self.remote.session_settings.primary_only,
            pinned=pinned,
            pooled=self.pooled and freshness.position_to_check(session, self) is not None,
        )

    def _catch_up(self, statement: Statement, session: Session, *, defers: bool) -> Waited:
        """Wait for the replica if this statement may read on it, and the session's reads have to."""
        promoted = self.router.local.at_primary = self.promoted
        reads = statement.kind is Kind.READ or statement.read_only
        remote = self.remote.has_state or (self.remote.transaction is not None and not defers)
        if promoted or remote or not reads or (self._transaction_here and need_not_wait_here(self, statement, session)):
            return NOT_AT_ALL
        waited = self.router.freshness.catch_up(session, self)
        self.router.raise_if_late(waited, None)
        return waited

    def _record(self, statement: Statement, decision: Decision, session: Session) -> None:
        """Record in the session that this database is used here: what a token has to cover depends on it."""
        if decision.action is Action.HERE and self.promoted:
            session.note_primary(self.database, self.router.primary_source)
        elif decision.action in _LOCAL and (statement.kind is Kind.READ or statement.read_only):
            session.note_read(self, follows=self.router.freshness.follows(session))
        if session.activity is None:
            return
        if decision.action is Action.HERE and self.promoted:
            session.activity.record(self.router, statement)
        else:
            session.activity.record_state(self.router, statement)


def _normal(encoding: str) -> str:
    """The name of an encoding as psycopg2 compares it."""
    return "".join(filter(str.isalnum, encoding)).upper()
