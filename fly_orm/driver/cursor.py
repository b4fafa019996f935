"""The routing cursor: psycopg2's own while results come from the replica, and a RemoteCursor otherwise.

A cursor changes its class between the two, so that fetching what the replica returned stays in psycopg2's C code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions as ext
from psycopg2 import sql as composable

from ..classify import Kind, Statement
from ..errors import ReplicationTimeout
from ..postgres.sql_error import FromPrimary
from ..protocol.messages import Result
from ..routing.decide import Action, Decision
from ..sessions.context import current
from ..sessions.served import Route, Served
from . import copying
from .result import RemoteResult

#: What ``executemany`` sends in one request, at most, unless one statement alone is longer.
_BATCH_STATEMENTS, _BATCH_BYTES = 1000, 4 * 1024 * 1024

_READ = Kind.READ
_SETTINGS = frozenset({Kind.SET, Kind.SET_LOCAL})
#: What decides which settings of a transaction on the replica the session has afterwards.
_SETTLING = frozenset({Kind.SET, Kind.COMMIT, Kind.ROLLBACK})
#: What a cursor shows while, and if, a statement of it fails.
_NOTHING = Result(status_message="")
#: SQLSTATEs with which a replica refuses what a primary may do, or gives up a read because of what it replays (Postgres
#: manual, section 26.4). A statement refused so has had no effect on the database. Some of these can mean something
#: else, and then the primary says the same.
_REFUSALS = frozenset({"25006", "0A000", "55000", "40001", "58P01", "XX000"})
_WROTE = "25006"


def _here(why: str, waited: float = 0.0) -> Served:
    return Served(route=Route.LOCAL, why=why, wait=waited) if waited else _here_at_once(why)


@cache
def _here_at_once(why: str) -> Served:
    return Served(route=Route.LOCAL, why=why)


class CursorClasses(NamedTuple):
    """What a cursor class becomes when it is routed."""

    local: type[RoutingCursor]
    remote: Any
    named: Any


class RoutingCursor(ext.cursor):
    """A cursor whose last result, if any, came from the local server."""

    connection: Any  # a RoutingConnection, which imports this module
    _classes: CursorClasses

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
        # The way of a plain read is kept short: on it, nothing is looked up twice.
        connection = self.connection
        statement = connection.statement(query, self)
        if statement.kind is _READ and connection.free:
            session = current()
            pinned = session.behind or session.on_primary
            if not pinned and (session.activity is None or not connection.promoted):
                session.read.add(connection.router.reference)
                session.served = _here(statement.why)
                try:
                    return super().execute(query, vars)
                except psycopg2.Error as error:
                    return self._read_there(error, query, vars, statement)
        return self._execute(query, vars, statement)

    def executemany(self, query: Any, vars_list: Iterable[Any]) -> None:
        self._check_unnamed("executemany")
        vars_list = list(vars_list)
        if not vars_list:
            return self._show(Result(row_count=0, status_message=self.statusmessage), self.query)
        if self.connection.begins:
            self._bind(query, vars_list[0])  # an error of which begins no transaction
        statement, decision = self._decide(query)
        if decision.action is Action.HERE:
            return self._super_here("executemany", query, vars_list)
        why, wrote = decision.why, False
        if decision.action is Action.READ_HERE:
            try:
                return self._super_here("executemany", query, vars_list)
            except psycopg2.Error as error:
                # Those before the one that was refused were reads, and can be repeated.
                why, wrote = self.connection.refusal(error), error.pgcode == _WROTE
        elif decision.action is not Action.FORWARD:
            for vars_ in vars_list:
                self.execute(query, vars_)
            return None
        sqls = [self._bind(query, vars_) for vars_ in vars_list]
        total = 0
        for batch in _batches(sqls):
            result = self._forward(batch, statement, why, wrote=wrote)
            total += max(result.row_count, 0)
        self._show(Result(row_count=total, status_message=result.status_message), sqls[-1])
        return None

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        self._check_unnamed("callproc")
        if isinstance(parameters, dict):
            names = [
                composable.SQL("{}:={}").format(composable.Identifier(name), composable.Placeholder(name))
                for name in parameters
            ]
            arguments = composable.SQL(",").join(names).as_string(self)
        else:
            arguments = ",".join(["%s"] * len(parameters or ()))
        self.execute(f"SELECT * FROM {procname}({arguments})", parameters or None)  # noqa: S608  # as psycopg2 does
        return None if isinstance(parameters, dict) else parameters

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        statement, decision = self._decide(sql)
        why, out, wrote = decision.why, statement.copy == "out", False
        if decision.action is Action.READ_HERE and out:
            tracked = copying.tracked(file)
            try:
                return self._super_here("copy_expert", sql, tracked, size)
            except psycopg2.Error as error:
                if tracked.written:
                    raise
                why, wrote = self.connection.refusal(error), error.pgcode == _WROTE
        elif decision.action is not Action.FORWARD or statement.copy is None:
            return self._super_here("copy_expert", sql, file, size)
        data = None if out else copying.read(file, self.connection)
        result = self._forward([self._bind(sql, None)], statement, why, copy_in=data, copy_out=out, wrote=wrote)
        self._show(result, self._result.query)
        if result.copied is not None:
            copying.write(file, result.copied, self.connection)
        return None

    def copy_from(
        self,
        file: Any,
        table: str,
        sep: str = "\t",
        null: str = "\\N",
        size: int = 8192,
        columns: Iterable[str] | None = None,
    ) -> None:
        self.copy_expert(copying.statement("FROM stdin", table, sep, null, columns, self), file, size)

    def copy_to(
        self, file: Any, table: str, sep: str = "\t", null: str = "\\N", columns: Iterable[str] | None = None
    ) -> None:
        self.copy_expert(copying.statement("TO stdout", table, sep, null, columns, self), file)

    # Deciding and doing

    def _check_open(self) -> None:
        if self.closed:
            raise psycopg2.InterfaceError("cursor already closed")

    def _check_unnamed(self, method: str) -> None:
        self._check_open()
        if self.name is not None:
            raise psycopg2.ProgrammingError(f"can't call .{method}() on named cursors")

    def _check_declares(self) -> None:
        """A cursor that has a name declares one query, in a transaction."""
        if self.query is not None:
            raise psycopg2.ProgrammingError("can't call .execute() on named cursors more than once")
        if self.connection.autocommit and not self.withhold:
            raise psycopg2.ProgrammingError("can't use a named cursor outside of transactions")

    def _decide(self, query: Any) -> tuple[Statement, Decision]:
        self._check_open()
        statement = self.connection.statement(query, self)
        return statement, self.connection.decide(statement)

    def _execute(self, query: Any, vars_: Any, statement: Statement) -> None:
        self._check_open()
        if self.name is not None:
            self._check_declares()
            if statement.kind is not _READ:  # whatever it is, DECLARE is what runs
                statement = replace(statement, kind=Kind.WRITE)
        if statement.kind in _SETTINGS and statement.name is None and vars_:
            statement = self.connection.statement(self._bind(query, vars_))  # the name may be among the parameters
        if self.connection.begins and not self._bind(query, vars_):
            raise psycopg2.ProgrammingError("can't execute an empty query")
        decision = self.connection.decide(statement)
        action = decision.action
        if action is Action.READ_HERE:
            session = current()
            session.served, session.waited = _here(decision.why, session.waited), 0.0
            return self._read_here(query, vars_, statement)
        if action is Action.HERE or action is Action.BEGIN_HERE:
            current().served = _here(decision.why)
            self._super_here("execute", query, vars_)
            if statement.kind in _SETTLING:
                self.connection.settle(statement, self.query, self.statusmessage)
            return None
        if statement.copy is not None:
            word = "FROM" if statement.copy == "in" else "TO"
            raise psycopg2.ProgrammingError(f"can't execute COPY {word}: use the copy_{word.lower()}() method instead")
        if action is Action.SET:
            return self._set(query, vars_, statement, decision.why)
        return self._act(action, query, vars_, statement, decision.why)

    def _act(self, action: Action, query: Any, vars_: Any, statement: Statement, why: str) -> None:
        """Do what concerns the primary."""
        sql = self._bind(query, vars_)
        link = self.connection.link
        if action is Action.FORWARD:
            self._run_there(sql, statement, why)
            return
        self._show(_NOTHING, sql)
        with link.lock:
            if action is Action.BEGIN:
                result = link.begin(sql, statement.why)
            elif action is Action.DELAY:
                result = link.delay(statement, sql, why)
            elif action is Action.COMMIT:
                result = link.commit(sql, statement)
            else:
                result = link.rollback(sql, statement)
        self._show(result, sql)

    def _run_there(self, sql: bytes, statement: Statement, why: str, *, wrote: bool = False) -> None:
        if self.name is None:
            self._show(self._forward([sql], statement, why, wrote=wrote), sql)
        else:
            self._show(_NOTHING, sql)
            self.declare(sql, why)

    def declare(self, sql: bytes, why: str) -> None:
        """Declare this cursor, which has a name, on the primary."""
        raise NotImplementedError

    def _forward(self, sqls: Sequence[bytes], statement: Statement, why: str, **options: Any) -> Result:
        self._show(_NOTHING, sqls[-1])
        link = self.connection.link
        try:
            with link.lock:
                result: Result = link.forward(sqls, statement, why, **options)
        except ReplicationTimeout as late:
            self._show(late.result, sqls[-1])
            late.result = self
            raise
        except psycopg2.Error as error:
            if isinstance(error, FromPrimary):
                error.cursor = self
            raise
        return result

    def _set(self, query: Any, vars_: Any, statement: Statement, why: str) -> None:
        """Change a setting of the session here, and of every session that serves it on the primary."""
        sql = self._bind(query, vars_)
        if statement.primary_only:
            self._run_there(sql, statement, why)
            self.connection.link.settings.remember(statement, sql)
        else:
            self._super_here("execute", query, vars_)
            self.connection.changed_setting(sql, statement, why)
            current().served = _here(why)

    def _read_here(self, query: Any, vars_: Any, statement: Statement) -> None:
        try:
            self._super_here("execute", query, vars_)
        except psycopg2.Error as error:
            self._read_there(error, query, vars_, statement)

    def _read_there(self, error: psycopg2.Error, query: Any, vars_: Any, statement: Statement) -> None:
        """Ask the primary what the replica has refused; raise the error if it is the answer."""
        why = self.connection.refusal(error)
        self._run_there(self._bind(query, vars_), statement, why, wrote=error.pgcode == _WROTE)

    def _super_here(self, method: str, *args: Any) -> None:
        """Call psycopg2's own method, as the cursor of a local result."""
        if type(self) is not self._classes.local:
            self.__class__ = self._classes.local
        getattr(super(), method)(*args)

    def _show(self, result: Result, sql: bytes | None) -> None:
        """Become a cursor over this result."""
        self._result = RemoteResult(result, sql)
        self.__class__ = self._classes.remote if self.name is None else self._classes.named

    def _bind(self, query: Any, vars_: Any) -> bytes:
        """The statement with its parameters bound, in the client encoding."""
        if vars_ is None and isinstance(query, bytes):
            return query
        bound: bytes = self.mogrify(query, vars_)
        return bound


def _batches(sqls: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The statements in order, so many at a time."""
    batch: list[bytes] = []
    size = 0
    for sql in sqls:
        if batch and (len(batch) == _BATCH_STATEMENTS or size + len(sql) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(sql)
        size += len(sql)
    if batch:
        yield batch


def refusal(error: psycopg2.Error) -> str:
    """Why the primary should be asked after the replica's error; raises it if it is a plain error."""
    if error.pgcode not in _REFUSALS:
        raise error
    return f"the replica refused: {(error.diag.message_primary or str(error)).strip()}"
