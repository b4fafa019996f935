"""The routing cursor: psycopg2's own while its result comes from the replica, and a RemoteCursor otherwise.

A cursor changes its class between the two, so that psycopg2's C code fetches the rows of the replica.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as ext
from psycopg2.sql import Composable

from ..classify import SETTING_CHANGES, Kind, Statement
from ..classify.long_results import may_return_much
from ..deadline import now
from ..observing.listeners import listeners, tell_timed
from ..observing.log import DEBUG, logs
from ..postgres.sql_error import FromPrimary
from ..protocol.messages import Result
from ..routing.decide import PINNED, Action, Decision, without_asking
from ..routing.forwarded import NOT_SENT, Forwarded
from ..routing.notices import Apart, without_repeated
from ..routing.remote_connection import RemoteConnection
from ..routing.replica_errors import tried_to_write
from ..routing.session_following import LOCKED, examined, on_one_server
from ..routing.transaction_control import control
from ..sessions.context import current
from ..sessions.running import is_running, note_served
from ..sessions.served import Served
from . import observed
from .cursors_here import ran_on_cursor_here, stand_in
from .errors import EMPTY, has_cursor, programming_error, unchain
from .many import ManyRowsCursor
from .raw_parameters import PLAIN, SEQUENCES, statement_with
from .result import RemoteResult
from .result_pieces import forward
from .text import call_text

_READ = Kind.READ
#: psycopg2's own method. super() would take longer to find it, after the user's classes, at every read.
_execute_here = ext.cursor.execute
#: The statement that psycopg2's half of a cursor has executed last.
query_here = ext.cursor.query.__get__
#: What a cursor shows while its statement runs, and if that fails.
NOTHING = Result(status_message="")


class CursorClasses(NamedTuple):
    """The user's class of a cursor, and the routing classes that such a cursor has one after another."""

    users: Any
    new: type[RoutingCursor]
    local: type[RoutingCursor]
    remote: Any
    held: Any = None
    """For a named cursor on the replica: its class before its transaction has begun on the primary."""
    watched: Any = None
    """For a named cursor on the replica: its class once that transaction has begun, failed or ended."""


class RoutingCursor(ManyRowsCursor):
    """A routing cursor while its last result, if it has one, is the local server's."""

    connection: Any  # a RoutingConnection, which imports this module
    _classes: CursorClasses

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        # The hot path: a plain read that nothing keeps from the replica. Nothing is looked up twice, and what would be
        # a method elsewhere is written out: a call costs more than all that it does, most of all while caches are cold.
        connection, statement = self.connection, None
        if vars is not None:
            for value in vars.values() if type(vars) is dict else vars if type(vars) in SEQUENCES else (vars,):
                if type(value) not in PLAIN:
                    if (statement := statement_with(self, query, vars)) is not None:
                        return self._run_observed(query, vars, statement)
                    break
        served = connection.plain_reads.get(query) if type(query) is str else None
        if served is None:
            statement = connection.statement(query, self)
            served = connection.as_plain_read(query, statement) if statement.is_plain_read else None
        if served is not None:
            remote = connection.remote
            if (
                remote.transaction is None
                and not (remote.has_state or remote.session_settings.primary_only or connection.entered)
                and (connection.mode.autocommit or connection.reads_before_begin)
            ):
                session = current()
                promoted = session.activity is not None and connection.get_parameter_status("in_hot_standby") == "off"
                if not promoted and session.may_read_over(connection):
                    session.served = served
                    if listeners.statements or logs(DEBUG):
                        return self._read_observed(query, vars, served)
                    try:
                        return _execute_here(self, query, vars)
                    except psycopg2.Error as error:
                        return self._read_refused(error, query, vars)
        return self._run_observed(query, vars, statement or connection.statement(query, self))

    def _run_observed(self, query: Any, vars_: Any, statement: Statement) -> None:
        with observed.block(self, query):
            return self._run(query, vars_, statement)

    def _read_observed(self, query: Any, vars_: Any, served: Served) -> None:
        if listeners.read_timed and not (logs(DEBUG) or is_running()):
            started = now()
            try:
                _execute_here(self, query, vars_)
            except psycopg2.Error as error:
                with observed.block(self, query, kind="read", served=served):
                    return self._read_refused(error, query, vars_)
            return tell_timed(self.connection.database, now() - started)
        with observed.block(self, query, kind="read", served=served):
            try:
                return _execute_here(self, query, vars_)
            except psycopg2.Error as error:
                return self._read_refused(error, query, vars_)

    def _read_refused(self, error: psycopg2.Error, query: Any, vars_: Any) -> None:
        """Go on after the replica's error for a plain read."""
        statement = self.connection.statement(query, self)
        with without_repeated(self.connection):
            if self.name is not None and self.connection.defers_reads and not self.connection.declares_here:
                return self._execute(query, vars_, statement)  # it has to begin the transaction
            return self._read_there(error, query, vars_, statement)

    def _run(self, query: Any, vars_: Any, statement: Statement) -> None:
        """Forward a plain write, unless that takes more than for the last one, and execute anything else."""
        if statement.is_plain_write and self.name is None:
            self._check_open()
            sql = self._bind(query, vars_)
            if not may_return_much(sql):
                result = self._on_primary(sql, lambda remote: remote.forward_plain_write(sql, statement))
                if result is not NOT_SENT.result:
                    return self._show(result, sql)
        return self._execute(query, vars_, statement)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        self._check_unnamed("callproc")
        self._execute_one(call_text(procname, parameters, self), parameters or None)
        return None if isinstance(parameters, dict) else parameters

    # Routing

    def _check_unnamed(self, method: str) -> None:
        self._check_open()
        if self.name is not None:
            raise programming_error(self, f"can't call .{method}() on named cursors")

    def _check_declares(self) -> None:
        """Raise what psycopg2 raises for a named cursor: it declares one query, inside a transaction."""
        if self.query is not None:
            raise programming_error(self, "can't call .execute() on named cursors more than once")
        if self.connection.autocommit and not self.withhold:
            raise programming_error(self, "can't use a named cursor outside of transactions")

    def _execute_one(self, query: Any, vars_: Any) -> None:
        """Execute a statement for another method, past an ``execute()`` of the user's class, as psycopg2 does."""
        self.__class__ = self._classes.local
        RoutingCursor.execute(self, query, vars_)

    def _decide(self, query: Any, known: Statement | None = None) -> tuple[Statement, Decision]:
        self._check_open()
        statement = examined(self.connection, known or self.connection.statement(query, self))
        return statement, without_asking(self.connection.route_untracked(statement))

    def _execute(self, query: Any, vars_: Any, statement: Statement) -> None:
        self._check_open()
        if vars_ and statement.name is None and (statement.kind in SETTING_CHANGES or statement.changes.sticks):
            statement = self.connection.statement(self._bind(query, vars_))  # a parameter may hold the name
        named = self.name is not None
        statement = examined(self.connection, replace(statement, opens_cursor=True) if named else statement)
        if named:
            self._check_declares()
            # DECLARE runs, whatever the statement is, and in a transaction.
            if statement.kind is not _READ or (self.connection.defers_reads and not self.connection.declares_here):
                statement = replace(statement, kind=Kind.WRITE)
        if statement.cursor is not None and ran_on_cursor_here(self, query, vars_, statement):
            return
        if self.connection.begins and not self._bind(query, vars_):
            raise programming_error(self, EMPTY)
        try:
            decision = self.connection.route(statement)
        except BaseException:
            self.show_nothing(query)
            raise
        with self.connection.noting_held(statement):
            self._carry_out(query, vars_, statement, without_asking(decision) if named else decision)

    def _carry_out(self, query: Any, vars_: Any, statement: Statement, decision: Decision) -> None:
        """Do what was decided."""
        action = decision.action
        if action is Action.READ_HERE or action is Action.READ_IF_SHOWN:
            return self._read(query, vars_, statement, decision)
        if action is Action.HERE or action is Action.BEGIN_HERE:
            may_lock = statement.changes.anything
            why = (self._why_leave_quietly if may_lock else self._why_leave)(query, vars_, statement, decision)
            return self._run_there(self._bind(query, vars_), statement, why) if why else None
        if statement.copy is not None:
            word = "FROM" if statement.copy == "in" else "TO"
            self._show(NOTHING, self._bind(query, vars_))
            raise psycopg2.ProgrammingError(f"can't execute COPY {word}: use the copy_{word.lower()}() method instead")
        if action is Action.SET:
            return self._set(query, vars_, statement, decision.why)
        sql = self._bind(query, vars_)
        if action is Action.FORWARD:
            return self._run_there(sql, statement, decision.why, waited=decision.waited)
        return self._show(
            self._on_primary(sql, lambda remote: control(remote, action, sql, statement, decision.why)), sql
        )

    def _why_leave(self, query: Any, vars_: Any, statement: Statement, decision: Decision) -> str | None:
        """Execute a statement here, and return why it has to run on the primary instead, with its transaction."""
        connection = self.connection
        try:
            with connection.operating_here(statement, self, query, (vars_,)):
                self.run_here(decision, "execute", query, vars_)
        except errors.FeatureNotSupported:
            if not connection.left_to_write(statement):
                raise
            return "the replica refused the mode of the transaction"
        begins = decision.action is Action.BEGIN_HERE
        return None if connection.executed_here(statement, self, begins=begins) else LOCKED

    def _why_leave_quietly(self, *args: Any) -> str | None:
        """The same, without the notices of a statement that runs on the primary instead."""
        with Apart(self.connection) as notices:
            why = self._why_leave(*args)
            notices.repeated = why is not None
        return why

    def _read(self, query: Any, vars_: Any, statement: Statement, decision: Decision) -> None:
        connection, checks = self.connection, decision.action is Action.READ_IF_SHOWN
        checked = connection.router.freshness.checked(current(), connection) if checks else nullcontext(True)
        why, wrote = None, False
        with Apart(connection) as notices:
            try:
                with checked as shown:
                    if shown:
                        self.run_here(decision, "execute", query, vars_)
            except psycopg2.Error as error:
                why, wrote = connection.why_ask_primary(error, statement), tried_to_write(error)
            else:
                why = PINNED if not shown else None if connection.followed(statement) else LOCKED
            notices.repeated = why is not None
        if why is not None:
            self._run_there(self._bind(query, vars_), statement, why, wrote=wrote, waited=decision.waited)

    def _run_there(
        self, sql: bytes, statement: Statement, why: str, *, wrote: bool = False, waited: float = 0.0
    ) -> None:
        if self.name is None:
            if statement.opens_cursor and statement.cursor is not None:
                sql = stand_in(self.connection, statement.cursor, hold=not statement.needs_transaction) + sql
            self._show(self._forward([sql], statement, why, wrote=wrote, waited=waited), sql)
        else:
            self._show(NOTHING, sql)
            self.declare(sql, statement, why)

    def declare(self, sql: bytes, statement: Statement, why: str) -> None:
        """Declare this cursor, which has a name, on the primary."""
        raise NotImplementedError

    def _forward(self, sqls: Sequence[bytes], statement: Statement, why: str, **options: Any) -> Result:
        observed.tell_if_late(self.connection, statement, why)
        return self._on_primary(sqls[-1], lambda remote: forward(remote, sqls, statement, why, **options))

    def _on_primary(self, sql: bytes, act: Callable[[RemoteConnection], Forwarded]) -> Result:
        """What ``act`` returns of the connection to the primary; the cursor shows nothing of an earlier statement.

        ReplicationTimeout, with this cursor over the result, if the replica is late and the application wants that.
        """
        connection = self.connection
        try:
            with connection.remote.lock:
                result, waited = act(connection.remote)
        except BaseException as error:
            self._show(NOTHING, sql)
            if isinstance(error, FromPrimary) and has_cursor(error, sql):
                error.cursor = self
            raise
        if waited.late is not None:
            self._show(result, sql)
            connection.router.raise_if_late(waited, self)
        return result

    def _set(self, query: Any, vars_: Any, statement: Statement, why: str) -> None:
        """Change a session setting on the replica, and in the Postgres sessions that serve this one on the primary."""
        sql = self._bind(query, vars_)
        if statement.primary_only:
            self._run_there(sql, statement, why)
        else:
            with on_one_server(self.connection, statement):
                self._super_here("execute", query, vars_)
            self.connection.changed_setting(sql, statement, why)
            note_served(current(), self.connection.served_here[why])  # after what was forwarded for it

    def _read_there(self, error: psycopg2.Error, query: Any, vars_: Any, statement: Statement) -> None:
        """Repeat on the primary what the replica has refused; raise the error if it is the answer."""
        why = self.connection.why_ask_primary(error, statement)
        try:
            self._run_there(self._bind(query, vars_), statement, why, wrote=tried_to_write(error))
        except BaseException as raised:
            unchain(raised, error)
            raise

    def run_here(self, decision: Decision, method: str, *args: Any) -> None:
        event = self.connection.served_here[decision.why]
        note_served(current(), replace(event, wait=decision.waited) if decision.waited else event)
        self._super_here(method, *args)

    def _run_settling(self, statement: Statement, decision: Decision, method: str, query: Any, *args: Any) -> None:
        with self.connection.operating_here(statement, self, query, args[0] if method == "executemany" else (None,)):
            self.run_here(decision, method, query, *args)
        self.connection.settle(statement)

    def _super_here(self, method: str, *args: Any) -> None:
        """Call psycopg2's own method, as a cursor over a local result."""
        if type(self) is not self._classes.local:
            self.__class__ = self._classes.local
        getattr(ext.cursor, method)(self, *args)

    def _show(self, result: Result, sql: bytes | None) -> None:
        """Become a cursor over this result."""
        self._result = RemoteResult(result, sql, self)
        self._query_here = query_here(self)
        self.__class__ = self._classes.remote

    def show_nothing(self, query: Any) -> None:
        """Show nothing, as psycopg2 does for a text that it cannot execute. What is not a text changes nothing."""
        if self.name is None and query and isinstance(query, str | bytes | Composable):
            self._show(NOTHING, None)

    def _bind(self, query: Any, vars_: Any) -> bytes:
        """The statement with its parameters bound, in the client encoding."""
        if vars_ is None and isinstance(query, bytes):
            return query
        try:
            bound: bytes = self.mogrify(query, vars_)
        except BaseException:
            self.show_nothing(query)
            raise
        return bound
