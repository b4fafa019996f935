"""Executes the requests of one channel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

import psycopg2

from ..concurrency.pool import PoolTimeout
from ..deadline import Deadline, now
from ..errors import FlyOrmError, Refused
from ..observing.listeners import listeners
from ..postgres.making_way import make_way_for
from ..postgres.running_statement import CANCEL_TIMEOUT
from ..protocol import reasons
from ..protocol.encoding import MessageError, decode_request
from ..protocol.messages import (
    Call,
    Cancel,
    Copy,
    Copying,
    Declined,
    Describe,
    Done,
    Greet,
    Inspect,
    Release,
    Renew,
    Reply,
    Request,
    Run,
    Settle,
)
from ..sessions.invocation import Invocation
from .copy_files import in_pieces, is_whole
from .cut_off import log_cut_off
from .executor import Executor
from .function_runner import SHUTTING_DOWN
from .lease import Lease
from .lease_errors import ConnectionBroken, TooLate
from .observed_request import observed
from .plain import is_plain
from .replies import declined, encode_reply, not_opened
from .streamed_copy import StreamedCopy
from .streamed_result import StreamedResult
from .time_limits import node_deadline, transaction_timeout

log = logging.getLogger("fly_orm.node")

_NO_PLACE = "this node has no place for the channel"
_CALLER_GONE = "its caller has disconnected"
_COPYING = Declined(
    reason=reasons.BAD_REQUEST, message="a COPY or a long result is under way in the lease, and nothing else can run"
)
_LOST = Declined(reason=reasons.LOST, message="it was idle for too long, or the node was restarted")


class ChannelExecutor:
    """The responder of one channel, which has at most one lease, and at most one function running, at a time.

    Three threads use this object. The transport calls :meth:`respond` for one request after another and, possibly
    meanwhile and from another thread, :meth:`gone`; the timer ends a lease that has been idle for too long. The thread
    that holds the lock may open and end the lease. Neither the timer nor :meth:`gone` waits for the lock: if a request
    holds it, they leave the end of the lease to that request. A COPY whose data travels in pieces runs on a thread of
    its own, and if it is abandoned, the lease ends there.
    """

    def __init__(self, executor: Executor, peer: str = "", on_gone: Callable[[], None] = lambda: None) -> None:
        """``peer`` is what the peers have in common that share what one of them may take.

        ``on_gone`` is called when the peer is gone.
        """
        self._on_gone = on_gone
        self._executor = executor
        self._peer = peer
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._copy: StreamedCopy | StreamedResult | None = None
        """The COPY that runs in the lease, or the result that goes on, even between two requests."""
        self._invocation: Invocation | None = None
        self._gone = False
        self._cancel_idle_end: Callable[[], None] | None = None
        """Stops the timer that ends the lease, if it runs."""
        self._executed_at = 0.0
        """When the last request of the lease ended."""
        self._renews = False
        """Whether its caller renews it while a transaction is open."""

    def respond(self, request: bytes) -> bytes | None:
        """The encoded reply; see :class:`fly_orm.transport.Responder`."""
        try:
            with self._lock:
                return None if self._gone else self._respond(request)
        finally:
            # gone() may have found the lock taken, and returned. It sets the flag before it tries the lock, and here
            # the flag is read after the lock was released: so at least one of the two ends the lease.
            if self._gone:
                self._executor.peers.gone(self)
                self._end_if_idle()

    @property
    def is_idle(self) -> bool:
        """Whether there is no lease; see :class:`fly_orm.transport.Responder`."""
        return self._lease is None

    def last_reply(self, *, is_full: bool = False) -> bytes | None:
        """The encoded reply that declines the next request; see :class:`fly_orm.transport.Responder`."""
        if is_full:
            return encode_reply(Declined(reason=reasons.FULL, message=_NO_PLACE))
        reason = reasons.DRAINING if self._lease is None else reasons.LOST
        return encode_reply(Declined(reason=reason, message=SHUTTING_DOWN))

    def gone(self) -> None:
        """Cancel what is running for the caller, and roll back what is open. Returns at once."""
        self._gone = True  # first, for whatever begins from now on; see respond(), _run() and _on_start()
        self._on_gone()
        self._executor.peers.gone(self)
        if (lease := self._lease) is not None:
            lease.time_out()
        self._stop_invocation()
        self._end_if_idle()

    def _respond(self, request: bytes) -> bytes:
        if self._cancel_idle_end is not None:
            self._stop_idle_end()
        message: Request | None = None
        try:
            message = decode_request(request, self._executor.limits.max_elements)
            done = observed(self._handle, self._peer, message) if listeners.executions else self._handle(message)
            reply = encode_reply(done)
        except MessageError as error:
            done = Declined(reason=reasons.BAD_REQUEST, message=str(error))
            reply = encode_reply(done)
        if isinstance(done, Declined):
            self._executor.refusals.note(self._peer, message, done)
        if self._lease is not None and not self._gone and (timeout := self._silence_timeout(self._lease)) is not None:
            self._cancel_idle_end = self._executor.timer.call_later(timeout, self._end_if_idle)
        return reply

    def _stop_idle_end(self) -> None:
        cancel, self._cancel_idle_end = self._cancel_idle_end, None
        if cancel is not None:
            cancel()

    def _silence_timeout(self, lease: Lease) -> float | None:
        """Seconds after which the lease ends if its caller says nothing; None is no limit."""
        timeout = self._executor.limits.idle_timeout
        if not lease.in_transaction:
            return timeout
        return transaction_timeout(timeout, idle=now() - self._executed_at, renews=self._renews)

    def _end_if_idle(self) -> None:
        """End the lease, unless a request is being handled: that request will do it, or start the timer again."""
        if self._lock.acquire(blocking=False):
            try:
                self._stop_idle_end()
                if self._lease is not None:
                    log_cut_off(self._lease, self._peer, is_gone=self._gone)
                self._end_lease()
            finally:
                self._lock.release()

    def _handle(self, request: Request) -> Reply:
        match request:
            case Greet(region=region):
                self._executor.peers.greeted(self, self._peer, region)
                return self._executor.welcome()
            case Run():
                return self._run(request)
            case Copy():
                return self._go_on(request)
            case Call():
                return self._call(request)
            case Describe(database=database):
                return self._executor.describe(database, self._peer)
            case Inspect():
                return self._executor.inspect()
            case Cancel(lease=lease):
                if not Deadline.at_instant(request.begin_by, None).expired:
                    self._executor.cancel(lease, Deadline.after(CANCEL_TIMEOUT))
            case Renew(lease=lease):
                return self._renew(lease)
            case Settle():
                return self._executor.settle(request, self._peer)
            case Release():
                self._end_lease()
        return Done()

    def _call(self, call: Call) -> Reply:
        try:
            return self._executor.call(call, self._on_start, self._peer)
        finally:
            self._invocation = None

    def _on_start(self, invocation: Invocation) -> None:
        self._invocation = invocation
        if self._gone:  # since before gone() could see the invocation
            self._stop_invocation()

    def _stop_invocation(self) -> None:
        if (invocation := self._invocation) is not None:
            invocation.stop(_CALLER_GONE)
            self._executor.timer.call_later(CANCEL_TIMEOUT, invocation.break_off)

    def _run(self, request: Run) -> Reply:
        deadline, plain = node_deadline(request), is_plain(request)
        if not plain and not is_whole(request):
            return Declined(reason=reasons.BAD_REQUEST, message="a COPY or COMMIT without its statement")
        if request.opens_lease:
            if self._lease is not None:
                self._end_lease()
            try:
                opening = deadline.within(self._executor.limits.statement_timeout)
                self._lease = self._executor.open_lease(request, opening, self._peer)
                self._lease.give_up = self._end_if_idle
            except (PoolTimeout, psycopg2.Error, FlyOrmError) as error:
                return not_opened(error)
        if self._lease is None or self._lease.id != request.lease:
            return _LOST
        if self._gone:  # while the request was waiting for a connection
            return Declined(reason=reasons.LOST, message=_CALLER_GONE)
        if self._copy is not None:
            return _COPYING
        return self._run_in(self._lease, request, deadline, plain)

    def _go_on(self, copy: Copy) -> Reply:
        lease, running = self._lease, self._copy
        deadline = node_deadline(copy).within(self._executor.limits.statement_timeout)
        if lease is None or lease.id != copy.lease or running is None:
            return _LOST
        if deadline.expired:
            self._end_lease()
            return Declined(reason=reasons.LOST, message="the caller's deadline had passed when a piece arrived")
        return self._ran(lease, lambda: running.go_on(copy, deadline))

    def _renew(self, lease: bytes) -> Reply:
        if self._lease is None or self._lease.id != lease:
            return _LOST
        if self._copy is None and self._lease.is_lost():
            self._end_lease()
            return Declined(reason=reasons.LOST, message="its connection to the primary was lost")
        return Done(lease_open=True, may_have_written=False)

    def _run_in(self, lease: Lease, request: Run, deadline: Deadline, plain: bool) -> Reply:
        if request.statements:
            make_way_for(request.statements[0])
        if request.record is not None:
            self._executor.note_recorded(request.database)
        self._renews = request.renews
        if plain or (file := in_pieces(request, lease.has_hung_up)) is None:
            return self._ran(lease, partial(lease.run, request, deadline, plain=plain), opens_lease=request.opens_lease)
        try:
            self._copy = copy = StreamedCopy(lease, request, deadline, file)
        except RuntimeError as error:
            self._end_lease()
            return Declined(reason=reasons.BUSY, message=f"this node has no thread for a COPY: {error}")
        first = deadline.within(self._executor.limits.statement_timeout)
        return self._ran(lease, lambda: copy.begin(first), opens_lease=request.opens_lease)

    def _ran(self, lease: Lease, run: Callable[[], Done | Copying], *, opens_lease: bool = False) -> Reply:
        """The reply to a request that runs in the lease, which ends unless the reply says that it stays open."""
        try:
            reply = run()
            self._executed_at = now()
        except ConnectionBroken as error:
            reason = reasons.UNKNOWN if error.undecided else reasons.LOST
            declines = Declined(reason=reason, message=str(error), ended=error.ended)
        except TooLate as error:
            declines = Declined(reason=reasons.EXPIRED if opens_lease else reasons.LOST, message=str(error))
        except Refused as error:
            declines = declined(error)
        else:
            if isinstance(reply, Copying):
                self._copy = self._copy or StreamedResult(lease)
                return reply
            self._copy = None
            if not reply.lease_open:
                self._end_lease()
            return reply
        self._copy = None
        self._end_lease()
        return declines

    def _end_lease(self) -> None:
        lease, self._lease = self._lease, None
        copy, self._copy = self._copy, None
        if lease is None:
            return
        if copy is None:
            self._executor.end_lease(lease)
        else:
            copy.abandon(lambda: self._executor.end_lease(lease))
