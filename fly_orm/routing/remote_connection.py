"""What one connection has going on with the primary: its transaction, its lease, its session settings."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..errors import FlyOrmError, NotDelivered, NotSupported, Refused, ReplicationTimeout, TransactionLost
from ..forwarding.remote_lease import RemoteLease
from ..forwarding.response import Response
from ..position import UNKNOWN, Position
from ..postgres.sql_error import rebuild
from ..protocol.messages import Done, Result, Run
from ..sessions.context import current
from ..sessions.served import Route, Served
from .errors import explain
from .router import Router
from .session_settings import SessionSettings
from .transaction import RemoteTransaction, Setting
from .unsupported import UNKNOWN_END

_IDLE = ext.TRANSACTION_STATUS_IDLE
#: How many notices a connection remembers (psycopg2's manual, connection.notices).
_NOTICES = 50


class RemoteConnection:
    """The remote half of a routing connection. Its methods are called under :attr:`lock`, except :meth:`cancel`."""

    def __init__(self, connection: Any, router: Router) -> None:
        self.router = router
        self.settings = SessionSettings()
        self.transaction: RemoteTransaction | None = None
        self.kept = False
        """Whether the caller's session has state on the primary that must not be lost."""
        self.lock = threading.RLock()
        # In no cycle with it: it has to notice at once that nobody holds it any more.
        self._reference = weakref.ref(connection)
        self._lease: RemoteLease | None = None
        self._opening: RemoteLease | None = None

    def begin(self, sql: bytes, status_message: str = "BEGIN") -> Result:
        """Declare a transaction; the primary hears of it with its first statement."""
        self.transaction = RemoteTransaction([sql])
        return Result(status_message=status_message)

    def delay(self, statement: Statement, sql: bytes, why: str) -> Result:
        """Let a statement about savepoints ride on the next one, if it is sure to succeed."""
        if self.transaction is not None and self.transaction.lost is None and self.transaction.delay(statement, sql):
            return Result(status_message=_STATUS[statement.kind])
        return self.forward([sql], statement, why)

    def commit(self, sql: bytes, statement: Statement) -> Result:
        """Commit the transaction; without a round trip if the primary has never heard of it."""
        transaction = self.transaction
        if transaction is None or transaction.sent or transaction.lost:
            return self.forward([sql], statement, "COMMIT")
        self.transaction = None
        return Result(status_message="COMMIT")

    def rollback(self, sql: bytes, statement: Statement) -> Result:
        """Roll the transaction back; one that is lost already is."""
        transaction = self.transaction
        if transaction is None or (transaction.sent and transaction.lost is None):
            try:
                return self.forward([sql], statement, "ROLLBACK")
            except TransactionLost:
                pass  # as good as rolled back
        self.transaction = None
        return Result(status_message="ROLLBACK")

    def forward(
        self,
        sqls: Sequence[bytes],
        statement: Statement,
        why: str,
        *,
        copy_in: bytes | None = None,
        copy_out: bool = False,
        wrote: bool = False,
    ) -> Result:
        """The result of the statements on the primary, once what they committed can be read here.

        ``wrote`` says that a statement which looks like a read is none. Raises what the primary raised, or the
        FlyOrmError that says what became of the statements, in the driver's classes.
        """
        transaction = self.transaction
        if transaction is not None and transaction.lost is not None:
            if statement.kind is Kind.COMMIT:
                self.transaction = None
            raise self.router.driver_error(TransactionLost(f"the transaction was lost: {transaction.lost}"))
        if statement.ends_transaction and transaction is not None and transaction.settings:
            raise self.router.driver_error(NotSupported(UNKNOWN_END))
        commits = wrote or statement.kind not in (Kind.READ, Kind.ROLLBACK)
        run = Run(
            database=self.router.name,
            lease=b"",
            encoding=self._connection.get_parameter_status("client_encoding") or "UTF8",
            session_settings=[] if self._lease else self._profile(),
            preamble=[] if transaction is None else transaction.pending,
            statements=list(sqls),
            copy_in=copy_in,
            copy_out=copy_out,
            keeps_lease=self.kept or statement.pins,
            commits=statement.kind is Kind.COMMIT,
            ends_transaction=statement.ends_transaction,
            wants_position=self.router.wants_lsn(),
        )
        answer = self._ask(run, may_write=commits or bool(statement.function_names))
        # Where nothing was committed, nothing is waited for. But the session's next reads must not be older than what
        # it has read there: least of all those of who tries again after a rollback.
        follow = self.router.wait if commits and answer.reply.may_have_written else self.router.expect
        return self._take(answer, statement, sqls, why, follow)

    def follow_encoding(self) -> None:
        """Give the session on the primary, if there is one, the client encoding that there is here now."""
        if self._lease is not None:
            sql = f"SET client_encoding TO '{self._connection.get_parameter_status('client_encoding')}'"
            self.forward([sql.encode()], Statement(kind=Kind.READ, why="the client encoding"), "the client encoding")

    def end(self) -> None:
        """Give the lease back, which rolls back what is open; never raises."""
        lease, self._lease, self.transaction, self.kept = self._lease, None, None, False
        if lease is not None:
            lease.release()

    def abandon(self) -> None:
        """As :meth:`end`, but without a word to the primary."""
        lease, self._lease, self.transaction, self.kept = self._lease, None, None, False
        if lease is not None:
            lease.abandon()

    def cancel(self) -> bool:
        """Cancel the statement that runs on the primary; False if none can be there."""
        lease = self._lease or self._opening
        if lease is None or lease.ended:
            return False
        self.router.forwarder.cancel(lease.id, lease.node)
        return True

    @property
    def _connection(self) -> Any:
        return self._reference()

    def _profile(self) -> list[bytes]:
        return self.settings.profile(self._connection, self.router.local.unreported(self._connection))

    def _ask(self, run: Run, *, may_write: bool) -> Response[Done]:
        deadline = self.router.deadline()
        try:
            if self._lease is None:
                answer, self._lease = self.router.forwarder.begin(run, deadline, self._open)
                return answer
            return self._lease.run(run, deadline)
        except NotSupported as error:
            raise self.router.driver_error(error) from error  # nothing was sent, so nothing is lost
        except FlyOrmError as error:
            self._lost(run, error, may_write=may_write)
            raise self.router.driver_error(error) from error
        except BaseException as error:
            self._lost(run, error, may_write=may_write)  # the caller was interrupted, and nobody will take the answer
            raise
        finally:
            self._opening = None
            if self._lease is not None and self._lease.ended:
                self._lease = None

    def _open(self, lease: RemoteLease) -> None:
        self._opening = lease

    def _lost(self, run: Run, error: BaseException, *, may_write: bool) -> None:
        """Note that a request failed, and with it the transaction or the session it belonged to."""
        if may_write and not isinstance(error, NotDelivered | Refused | TransactionLost):
            self.router.expect(UNKNOWN)  # what may be committed is to be found by who looks for it
        if run.commits or run.ends_transaction:
            self.transaction = None
        elif self.transaction is not None:
            self.transaction.lost = error
            self.transaction.status = ext.TRANSACTION_STATUS_INERROR
        if self.kept:
            # As the driver does when it loses its server: what the session held cannot be had again.
            self._connection.close()

    def _take(
        self,
        answer: Response[Done],
        statement: Statement,
        sqls: Sequence[bytes],
        why: str,
        follow: Callable[[Position], float | None],
    ) -> Result:
        done = answer.reply
        notices = self._connection.notices
        notices.extend(done.notices)
        del notices[:-_NOTICES]
        transaction = self._follow(done, statement)
        late, waited = None, 0.0
        try:
            waited = (follow(done.position) if done.position is not None else None) or 0.0
        except ReplicationTimeout as error:
            late, waited = error, error.waited
        session = current()
        waited, session.waited = waited + session.waited, 0.0  # of a read that waited here first
        session.served = Served(route=Route.PRIMARY, why=why, node=str(answer.node), rpc=answer.elapsed, wait=waited)
        if done.error is not None:
            raise rebuild(explain(done.error))
        result = done.result or Result()
        if transaction is not None:
            self._succeeded(transaction, statement, sqls, result.status_message)
        if late is not None:
            late.result = result
            raise late
        return result

    def _follow(self, done: Done, statement: Statement) -> RemoteTransaction | None:
        """Take over the transaction status; returns the transaction that was open before."""
        before = self.transaction
        if not done.lease_open:
            self.kept = False
        elif statement.pins and done.error is None:
            self.kept = True
        if done.transaction == _IDLE:
            self.transaction = None
        else:
            self.transaction = self.transaction or RemoteTransaction()
            self.transaction.reached(done.transaction)
        return before

    def _succeeded(
        self, transaction: RemoteTransaction, statement: Statement, sqls: Sequence[bytes], status_message: str | None
    ) -> None:
        """Keep settings and savepoints in step with a statement that the primary has executed."""
        if statement.kind is Kind.SET:
            transaction.settings.append(Setting(sql=sqls[-1], statement=statement))
            return
        # Of a transaction that had failed, COMMIT makes a ROLLBACK.
        settings = transaction.settings if statement.kind is Kind.COMMIT and status_message == "COMMIT" else []
        transaction.note(statement)
        for setting in settings:
            self._connection.apply_setting(setting.sql, setting.statement)


_STATUS = {Kind.SAVEPOINT: "SAVEPOINT", Kind.RELEASE: "RELEASE", Kind.ROLLBACK_TO: "ROLLBACK"}
