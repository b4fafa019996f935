"""The primary's side of one routing connection: its transaction, its lease on a node, its session settings."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg2 import extensions as ext

from ..classify import Kind, Statement
from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered, NotSupported, Refused, TransactionLost
from ..forwarding.copying import CopyData
from ..forwarding.remote_lease import RemoteLease
from ..forwarding.replied import after_reply
from ..forwarding.response import Response
from ..local.pooled import look_for_move
from ..position import UNKNOWN
from ..postgres.sql_error import rebuild
from ..postgres.starting import Start
from ..protocol.messages import Batch, Done, Result, Run
from ..sessions.operation import executing
from ..sessions.running import note_decided
from ..sessions.served import Route
from .before_sending import check_can_forward
from .errors import explain, informative_cause, session_lost
from .executed import note_executed, note_session
from .forwarded import NOT_SENT, Forwarded
from .freshness import Waited
from .heartbeats import heartbeats
from .notices import keep_notices
from .plain_writes import PlainWrites, stamp_of
from .recording import note_done, operation_of, unrecorded
from .repeated_reads import send_read
from .requests import Requests
from .router import Router
from .session_settings import SessionSettings
from .settling import exchange, statements_reply, tell_if_unknown
from .transaction import RemoteTransaction

_IDLE = ext.TRANSACTION_STATUS_IDLE
#: Seconds that the renewal of a lease may take. A statement that comes meanwhile waits for it.
_RENEWAL_TIMEOUT = 5.0
_STATUS = {Kind.SAVEPOINT: "SAVEPOINT", Kind.RELEASE: "RELEASE", Kind.ROLLBACK_TO: "ROLLBACK"}


class RemoteConnection:
    """A connection to the primary, as far as the caller can tell: it opens a lease on a node when one is needed.

    Its methods are called under :attr:`lock`, except :meth:`cancel`, and :meth:`abandon` in a finalizer.
    """

    def __init__(self, connection: Any, router: Router, start: Start) -> None:
        self.router = router
        self.session_settings = SessionSettings(start)
        self._requests = Requests(router, self.session_settings)
        self._plain_writes = PlainWrites()
        self.transaction: RemoteTransaction | None = None
        self.has_state = False
        """Whether the Postgres session on the primary has state that later statements need, such as a lock."""
        self.lock = threading.RLock()
        # Weak, so that a connection which nobody holds any more is collected at once, and its lease ends.
        self._reference = weakref.ref(connection)
        self._lease: RemoteLease | None = None
        self._opening: RemoteLease | None = None
        """The lease whose first request is under way, or was the last first one, for :meth:`cancel`."""
        self.gone: FlyOrmError | None = None
        """Why the Postgres session that has state was lost, if it was while the connection was idle."""

    # Transactions

    def begin(self, sql: bytes, status_message: str = "BEGIN", *, isolation: str | None = None) -> Forwarded:
        """Begin a transaction at a level, or at the default one; BEGIN is sent with its first statement."""
        self.transaction = RemoteTransaction([sql], isolation)
        return Forwarded(Result(status_message=status_message))

    def delay(self, statement: Statement, sql: bytes, why: str) -> Forwarded:
        """Send a savepoint command with the next statement, if it is certain to succeed; at once otherwise."""
        if self.transaction is not None and self.transaction.lost is None and self.transaction.delay(statement, sql):
            return Forwarded(Result(status_message=_STATUS[statement.kind]))
        return self.forward([sql], statement, why)

    def commit(self, sql: bytes, statement: Statement) -> Forwarded:
        """Commit the transaction; without a round trip if nothing of it was ever sent."""
        transaction = self.transaction
        if transaction is None or transaction.sent or transaction.lost:
            return self.forward([sql], statement, "COMMIT")
        self.transaction = None
        return Forwarded(Result(status_message="ROLLBACK" if transaction.failed else "COMMIT"))

    def rollback(self, sql: bytes, statement: Statement) -> Forwarded:
        """Roll the transaction back; without a round trip if nothing was sent, or if it is lost."""
        transaction = self.transaction
        if transaction is None or (transaction.sent and transaction.lost is None):
            try:
                return self.forward([sql], statement, "ROLLBACK")
            except TransactionLost:
                pass  # the primary has rolled it back
        self.transaction = None
        return Forwarded(Result(status_message="ROLLBACK"))

    # Statements

    def forward(
        self,
        sqls: Sequence[bytes],
        statement: Statement,
        why: str,
        *,
        copy: CopyData | None = None,
        wrote: bool = False,
        waited: float = 0.0,
    ) -> Forwarded:
        """What the statements return on the primary, once the session's reads show what they committed.

        ``copy`` is the data of a COPY. ``wrote`` says that the statement writes although it looks like a read.
        ``waited`` is the number of seconds for which it has waited for the replica before. Raises what the primary
        raised, or a FlyOrmError that says what became of the statements, as an instance of the driver's classes as
        well.
        """
        check_can_forward(self, statement)
        writes = wrote or statement.kind not in (Kind.READ, Kind.ROLLBACK)
        stamp = stamp_of(self.connection) if statement.is_plain_write and copy is None else None
        run = self._request(sqls, statement, writes=writes, copy=copy)
        if stamp is not None:
            self._plain_writes.keep(run, stamp, self.connection, self._requests.idle.due)
        return self._forwarded(run, statement, why, copy, writes=writes, waited=waited)

    def forward_plain_write(self, sql: bytes, statement: Statement) -> Forwarded:
        """As :meth:`forward`, if the request of the last plain write will do; otherwise NOT_SENT, and nothing is."""
        if (run := self._plain_writes.request(sql, self._reference())) is None:
            return NOT_SENT
        note_decided(Route.PRIMARY, statement.why)
        return self._forwarded(run, statement, statement.why, None, writes=True, waited=0.0)

    def _forwarded(self, run: Run, statement: Statement, why: str, copy: CopyData | None, **options: Any) -> Forwarded:
        done, replica = self._exchange(run, statement, why, copy, **options)
        if done.error is not None:
            raise rebuild(explain(done.error))
        return Forwarded(done.result or Result(), replica)

    def forward_batch(self, batch: Batch, statement: Statement, why: str, *, waited: float = 0.0) -> Done:
        """The node's reply to a batch, once the session's reads show what it committed. Raises only FlyOrmErrors.

        ``statement`` is the first one. A reply without results comes from a node that does not know batches: it has
        executed no more than the BEGIN.
        """
        check_can_forward(self, statement)
        run = self._request([], statement, batch=batch)
        return self._exchange(run, statement, why, None, writes=True, waited=waited)[0]

    def _exchange(
        self, run: Run, statement: Statement, why: str, copy: CopyData | None, *, writes: bool, waited: float
    ) -> tuple[Done, Waited]:
        """The reply to a request, and how the wait for the replica ended. Takes over what it says of the session."""
        if run.record is None:
            response, transaction = self._execute(run, statement, copy, writes=writes)
        else:
            with executing(operation_of(run, self.transaction), self.router.driver_error):
                response, transaction = self._execute(run, statement, copy, writes=writes)
        connection, done = self._reference(), response.reply
        replica = note_executed(self.router, connection, response, why, writes=writes, waited=waited)
        note_session(self.router, connection, run, response, statement, transaction)
        return done, replica

    def _execute(
        self, run: Run, statement: Statement, copy: CopyData | None, *, writes: bool
    ) -> tuple[Response[Done], RemoteTransaction | None]:
        """The response to a request, and the transaction that was open before.

        If a signal handler raises, nobody knows what is open on the primary, and it must not stay open, with its locks.
        """
        may_write = writes or bool(statement.function_names)
        try:
            response = self._ask(run, copy, may_write=may_write, reads=not writes and statement.is_plain_read)
            if response.reply.unrecorded:
                response = self._ask(self._checked(unrecorded, run, statement), copy, may_write=True)
            transaction = self._update(response.reply, statement)
            note_done(run, transaction, response.reply)
        except FlyOrmError:  # says what became of the request
            raise
        except BaseException as error:
            self._abandon_lease()
            self._lost(run, error, may_write=may_write)
            raise
        return response, transaction

    # The lease

    def end(self) -> None:
        """Give the lease back, which rolls back what is open; never raises."""
        lease, self._lease, self.transaction, self.has_state = self._lease, None, None, False
        self.gone = None
        if lease is not None:
            lease.release()

    def abandon(self) -> None:
        """End the lease by closing its channel, without telling the node: finalizers must not wait for a network."""
        self.transaction, self.has_state = None, False
        self._abandon_lease()

    def _abandon_lease(self) -> None:
        opening, lease, self._opening, self._lease = self._opening, self._lease, None, None
        for each in (opening, lease):
            if each is not None:
                each.abandon()

    def renew(self) -> None:
        """Renew the lease, unless a request is under way, which does the same."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self._lease is not None:
                self._lease.renew(Deadline.after(_RENEWAL_TIMEOUT).or_earlier(self.router.deadline()))
        except FlyOrmError as error:
            self._lease, self.gone = None, error if self.has_state else None
            self._lose_transaction(error)
        finally:
            self.lock.release()

    @property
    def is_free(self) -> bool:
        """Whether nothing is open on the primary, and nothing was lost there."""
        return self.transaction is None and self._lease is None and not self.has_state and self.gone is None

    @property
    def has_lease(self) -> bool:
        """Whether a Postgres session on the primary is held for this connection."""
        return self._lease is not None

    @property
    def renewal_due(self) -> float | None:
        """When the lease has to be renewed (monotonic); None if there is none."""
        lease = self._lease
        return None if lease is None else lease.renewal_due(in_transaction=self.transaction is not None)

    def cancel(self) -> bool:
        """Cancel the statement that runs on the primary; False if none can be running there. Any thread may call."""
        lease = self._lease or self._opening
        if lease is None or lease.ended:
            return False
        self.router.forwarder.cancel(lease.id, lease.node)
        return True

    @property
    def connection(self) -> Any:
        return self._reference()

    def _request(self, sqls: Sequence[bytes], statement: Statement, **options: Any) -> Run:
        make = partial(self._requests.run, opens_lease=self._lease is None, has_state=self.has_state, **options)
        run = self._checked(make, self.connection, sqls, statement, self.transaction)
        if (self.transaction is None or run.has_commit) and (options.get("writes", True) or statement.function_names):
            self.router.freshness.prepare()
        return run

    def _checked(self, make: Callable[..., Run], *arguments: Any) -> Run:
        """A request; NotSupported, as an instance of the driver's classes too, if it must not be sent."""
        try:
            return make(*arguments)
        except NotSupported as error:
            raise self.router.driver_error(error) from informative_cause(error)

    def _ask(self, run: Run, copy: CopyData | None, *, may_write: bool, reads: bool = False) -> Response[Done]:
        deadline = self.router.deadline()
        ask = self._requests.question(self._reference(), run, self.transaction, self._lease)
        try:
            if ask is None:
                if reads and self._lease is None:
                    return send_read(self._send, run, copy, deadline)
                return self._send(run, copy, deadline)
            send = partial(self._send, run, copy)
            as_reply = partial(statements_reply, run)
            return exchange(self.router.forwarder, send, ask, as_reply, deadline, in_pieces=copy is not None)
        except NotSupported as error:
            raise self.router.driver_error(error) from informative_cause(error)  # nothing was sent, so nothing is lost
        except FlyOrmError as error:
            tell_if_unknown(error, database=self.router.name)
            lost_state = self.has_state and self.transaction is None and isinstance(error, TransactionLost)
            self._lost(run, error, may_write=may_write)
            if lost_state:
                raise self.router.driver_error(session_lost(error)) from informative_cause(error)
            if self.connection.pooled and not self.connection.closed:
                look_for_move(self.connection)  # the primary that no node has may be behind the pooler by now
            raise self.router.driver_error(error) from informative_cause(error)
        finally:
            if self._lease is not None and self._lease.ended:
                self._lease = None

    def _send(self, run: Run, copy: CopyData | None, deadline: Deadline) -> Response[Done]:
        if self._lease is None:
            response, self._lease = self.router.forwarder.open_lease(run, deadline, self._note_opening, copy)
            return response
        return self._lease.run(run, deadline, copy, in_transaction=self.transaction is not None)

    def _note_opening(self, lease: RemoteLease) -> None:
        self._opening = lease

    def _lost(self, run: Run, error: BaseException, *, may_write: bool) -> None:
        """Note that a request failed, and with it the transaction or the Postgres session that it belonged to."""
        if may_write and not isinstance(error, NotDelivered | Refused | TransactionLost):
            # The write may be committed: whoever looks for it has to look on the primary.
            self.router.freshness.expect(UNKNOWN)
        if run.has_commit or run.ends_transaction:
            self.transaction = None
        else:
            self._lose_transaction(error)
        if self.has_state:
            # As the driver does when it loses its server: the state of the Postgres session is gone for good.
            self.connection.close()

    def _lose_transaction(self, error: BaseException) -> None:
        if self.transaction is not None:
            self.transaction.lost = error
            self.transaction.status = ext.TRANSACTION_STATUS_INERROR

    def _update(self, done: Done, statement: Statement) -> RemoteTransaction | None:
        """Take over notices and transaction status; returns the transaction that was open before."""
        if done.notices:
            keep_notices(self.connection, done.notices)
        self.session_settings.take_start(done.start_settings)
        before = self.transaction
        if not done.lease_open:
            self.has_state = False
        elif (statement.leaves_state and done.error is None) or (done.session is not None and done.session.has_state):
            self.has_state = True
        if done.transaction == _IDLE:
            self.transaction = None
        else:
            self.transaction = self.transaction or RemoteTransaction()
            self.transaction.reached(done.transaction, done.opened)
            self.transaction.note_changes(statement, failed=done.error is not None)
        if self._lease is not None:
            with after_reply("start to renew its lease"):
                heartbeats.keep(self)
        return before
