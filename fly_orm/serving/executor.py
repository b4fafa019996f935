"""The primary side: executes what the nodes of other regions forward."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import psycopg2

from ..concurrency.pool import PoolTimeout
from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..errors import FlyOrmError, Refused
from ..postgres.primary_connection import PrimaryConnection
from ..postgres.primary_pool import PrimaryPool
from ..postgres.running_statement import CANCEL_TIMEOUT
from ..protocol.messages import (
    BUSY,
    Call,
    Cancel,
    Declined,
    Done,
    Greet,
    MessageError,
    Release,
    Reply,
    Request,
    Returned,
    Run,
    SQLError,
    Welcome,
    decode_request,
    encode,
)
from ..sessions.invocation import Invocation
from ..transport import MAX_MESSAGE_BYTES, OVERHEAD_BYTES
from .lease import ConnectionBroken, Lease

#: A lease whose caller says nothing for so many seconds is ended and its transaction rolled back, so that a caller that
#: hangs cannot hold locks on the primary for ever.
IDLE_TIMEOUT = 60.0
_ABOUT_TO_STOP = "this node is about to stop"


class FunctionRunner(Protocol):
    """What runs functions."""

    def run(self, call: Call, begun: Callable[[Invocation], None]) -> Returned | Declined:
        """What came of a call; ``begun`` is told of the invocation, which can be stopped from then on."""
        ...

    def stop(self) -> None:
        """Stop what still runs."""
        ...


class Executor:
    """The databases that this node serves, and the leases that are open in them. Thread-safe."""

    def __init__(
        self,
        region: str,
        pools: Iterable[PrimaryPool],
        runner: FunctionRunner,
        *,
        idle_timeout: float | None = IDLE_TIMEOUT,
    ) -> None:
        self.region = region
        self.runner = runner
        self.pools = {pool.name: pool for pool in pools}
        self.idle_timeout = idle_timeout
        self.timer = Timer("fly_orm executor timer")
        self.leases: dict[bytes, Lease] = {}
        self.draining = False
        self._ended = threading.Condition()

    def accept(self, peer: str) -> ChannelExecutor:
        """The responder for a new channel."""
        return ChannelExecutor(self, peer)

    def drain(self, timeout: float = 0) -> None:
        """Decline new leases from now on, and give the open ones so many seconds to finish."""
        self.draining = True
        with self._ended:
            self._ended.wait_for(lambda: not self.leases, timeout)

    def forget(self, lease: bytes) -> None:
        """A lease is over."""
        with self._ended:
            self.leases.pop(lease, None)
            self._ended.notify_all()

    def close(self) -> None:
        """Close the connections to the primary, ending what still runs on them."""
        for lease in list(self.leases.values()):
            lease.break_off()
        self.runner.stop()
        for pool in self.pools.values():
            pool.close()
        self.timer.close()


class ChannelExecutor:
    """Executes the requests of one channel, which has at most one lease at a time."""

    trusted = True  # whoever gets here has proven itself

    def __init__(self, executor: Executor, peer: str) -> None:
        self._executor = executor
        self._peer = peer
        self._lock = threading.Lock()
        """Held while a request is handled, and while the lease is ended otherwise."""
        self._held: _Held | None = None
        self._invocation: Invocation | None = None
        self._gone = False
        self._cancel_idle_end: Callable[[], None] = lambda: None

    def respond(self, request: bytes) -> bytes | None:
        """The encoded reply; see :class:`fly_orm.transport.Responder`."""
        try:
            with self._lock:
                return None if self._gone else self._respond(request)
        finally:
            if self._gone:  # perhaps since the lock was released
                self._end_if_idle()

    def gone(self) -> None:
        """Cancel what is running, and roll back what is open."""
        self._gone = True
        if (held := self._held) is not None:
            held.lease.abandon()
        self._stop_invocation()
        self._end_if_idle()

    def _respond(self, request: bytes) -> bytes:
        self._cancel_idle_end()
        reply = self._reply(request)
        if self._held is not None and self._executor.idle_timeout is not None and not self._gone:
            self._cancel_idle_end = self._executor.timer.call_later(self._executor.idle_timeout, self._end_if_idle)
        return reply

    def _end_if_idle(self) -> None:
        """End the lease unless a request is being handled, whose end looks after it."""
        if self._lock.acquire(blocking=False):
            try:
                self._cancel_idle_end()
                self._end_lease()
            finally:
                self._lock.release()

    def _reply(self, request: bytes) -> bytes:
        try:
            reply = self._handle(decode_request(request))
        except MessageError as error:
            reply = Declined(reason="bad request", message=str(error))
        encoded = encode(reply)
        if len(encoded) > MAX_MESSAGE_BYTES - OVERHEAD_BYTES and isinstance(reply, Done | Returned):
            encoded = encode(_too_long(reply, len(encoded)))
        return encoded

    def _handle(self, request: Request) -> Reply:
        match request:
            case Greet():
                return Welcome(region=self._executor.region, databases=sorted(self._executor.pools))
            case Run():
                return self._run(request)
            case Call():
                return self._call(request)
            case Cancel(lease=lease):
                if (running := self._executor.leases.get(lease)) is not None:
                    running.cancel()
            case Release():
                self._end_lease()
        return Done()

    def _call(self, call: Call) -> Reply:
        if self._executor.draining:
            return Declined(reason="draining", message=_ABOUT_TO_STOP)
        try:
            return self._executor.runner.run(call, self._begun)
        finally:
            self._invocation = None

    def _begun(self, invocation: Invocation) -> None:
        self._invocation = invocation
        if self._gone:
            self._stop_invocation()

    def _stop_invocation(self) -> None:
        if (invocation := self._invocation) is not None:
            invocation.stop("its caller is gone")
            self._executor.timer.call_later(CANCEL_TIMEOUT, invocation.break_off)

    def _run(self, request: Run) -> Reply:
        deadline = Deadline.after(request.timeout)
        try:
            held = self._begin(request, deadline) if request.opens_lease else self._held
        except Refused as error:
            return Declined(reason=error.reason, message=str(error))
        except PoolTimeout as error:
            return Declined(reason=BUSY, message=f"no connection to the primary is free: {error}")
        except (psycopg2.Error, FlyOrmError) as error:
            return Declined(reason="unavailable", message=f"no connection to the primary can be had: {error}")
        if held is None or held.id != request.lease:
            return Declined(reason="lost", message="its time without a statement was over, or this node was restarted")
        if self._gone:  # while it waited for a connection
            return Declined(reason="lost", message="its caller is gone")
        return self._run_in(held, request, deadline)

    def _begin(self, request: Run, deadline: Deadline) -> _Held:
        self._end_lease()
        if self._executor.draining:
            raise Refused(_ABOUT_TO_STOP, reason="draining")
        pool = self._executor.pools.get(request.database)
        if pool is None:
            raise Refused(
                f"this node serves {', '.join(sorted(self._executor.pools))}, not {request.database!r}",
                reason="unknown database",
            )
        if deadline.expired:
            raise Refused("the caller's time was over before the request arrived", reason="expired")
        connection = pool.acquire((request.encoding, tuple(request.session_settings)), deadline)
        self._held = _Held(request.lease, pool, connection, self._executor.timer)
        self._executor.leases[request.lease] = self._held.lease
        return self._held

    def _run_in(self, held: _Held, request: Run, deadline: Deadline) -> Reply:
        try:
            done = held.lease.run(request, deadline)
        except ConnectionBroken as error:
            self._end_lease()
            return Declined(reason="unknown" if error.undecided else "lost", message=str(error))
        if not done.lease_open:
            self._end_lease()
        return done

    def _end_lease(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._executor.forget(held.id)
            held.pool.release(held.connection)


class _Held:
    """A lease and where its connection goes back to."""

    def __init__(self, id: bytes, pool: PrimaryPool, connection: PrimaryConnection, timer: Timer) -> None:  # noqa: A002
        self.id = id
        self.pool = pool
        self.connection = connection
        self.lease = Lease(connection, timer)


def _too_long(reply: Done | Returned, size: int) -> Done | Returned:
    """The outcome without its result, which is larger than a message can be."""
    problem = f"the result is {size} bytes long and {MAX_MESSAGE_BYTES} is the most that one reply carries"
    if isinstance(reply, Returned):
        return msgspec.structs.replace(reply, value=None, error=None, result_lost=problem)
    message = (
        f"{problem}; the statement was executed. Fetch less at once (LIMIT, a server-side cursor), or read it from the "
        "replica"
    )
    error = SQLError(driver_class="OperationalError", message=message, sqlstate="54000", text=message)
    return msgspec.structs.replace(reply, result=None, error=error)
