"""The databases that a node serves, and the leases that its callers hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

import psycopg2

from ..concurrency.latch import Latch
from ..concurrency.pool import PoolTimeout
from ..concurrency.timer import Timer, TimerClosed
from ..deadline import Deadline, now
from ..errors import FlyOrmError, Refused
from ..observing.listeners import emit, listeners
from ..observing.node_events import ConnectionLent, LeaseEnded, LeaseOpened
from ..postgres.primary_pool import PrimaryPool
from ..postgres.profile import Profile
from ..postgres.running_statement import CANCEL_TIMEOUT
from ..postgres.starting import Start
from ..postgres.watchdog import Watchdog
from ..protocol import reasons
from ..protocol.messages import (
    Call,
    Declined,
    Described,
    Inspected,
    Returned,
    Run,
    Settle,
    Settled,
    Welcome,
)
from ..routing.router import Router
from ..settings import Settings, variable_of
from ..sharing.dividing import default_share
from ..sharing.membership import Membership
from ..sharing.siblings import BORROW, CANCEL, GIVE_UP
from .function_runner import SHUTTING_DOWN, FunctionRunner, OnStart
from .inspecting import Inspector
from .lease import Lease
from .ledger_pruner import LedgerPruner
from .lending import lend
from .peers import Peers
from .refusals import Refusals
from .replies import not_opened
from .servers import ANSWER_TIMEOUT, describe
from .shares import Shares
from .time_limits import node_deadline, renewal_interval

#: The kind of place that a function takes; no database is called like this.
_FUNCTIONS = "functions\0"


class Executor:
    """The pools of primary connections that all channels share, and the leases that are open. Thread-safe."""

    def __init__(
        self,
        region: str,
        pools: Iterable[PrimaryPool],
        runner: FunctionRunner,
        *,
        primary_region: str = "",
        limits: Settings | None = None,
        routers: Iterable[Router] = (),
        membership: Membership | None = None,
    ) -> None:
        self.region = region
        self.primary_region = primary_region
        self.pools = {pool.name: pool for pool in pools}
        self.limits = limits or Settings()
        self.timer = Timer("the timer of the executor")
        share = self.limits.peer_leases or default_share(self.limits.pool_size)
        self._shares = Shares(share, variable_of("peer_leases"))
        self._settling = Shares(max(1, (self.limits.pool_size - share) // 2))
        """What a peer may take besides its share to ask what became of requests: half of what is left to others."""
        self._describing = Shares(1)
        """Each description takes a connection of its own."""
        self._watchdog = Watchdog(self.timer, self.limits.max_result_bytes)
        self.refusals = Refusals()
        self.peers = Peers()
        """The channels whose peers have been greeted, and are not gone."""
        self.draining = False
        """Whether new leases and calls are declined."""
        self._runner = runner
        self._routers = {router.name: router for router in routers}
        self._inspector = Inspector(self._routers, self.timer, self.limits, membership)
        self._pruner = LedgerPruner()
        self._leases: dict[bytes, Lease] = {}
        self._openings = 0
        """How many requests are about to open a lease."""
        self._lock = threading.Lock()
        self._drained: Latch | None = None
        """Set once no lease is open or about to open, if somebody waits for that."""
        self._siblings = None if membership is None else membership.siblings
        if membership is not None:
            kinds = {_FUNCTIONS: runner.places, **{name: pool.places for name, pool in self.pools.items()}}
            lending = lend(membership, self._shares, kinds)
            membership.siblings.answer({CANCEL: self._cancel, GIVE_UP: self._give_up, BORROW: lending})

    @property
    def databases(self) -> list[str]:
        """The names of the databases that are served, sorted."""
        return sorted(self.pools)

    def welcome(self) -> Welcome:
        """What a caller who opens a channel is told."""
        return Welcome(
            region=self.region,
            databases=self.databases,
            primary_region=self.primary_region,
            idle_timeout=self.limits.idle_timeout,
            renewal_interval=renewal_interval(),
            records=True,
        )

    def meet_servers(self) -> list[str]:
        """The server of each database, in words; from now on, a promotion of one that is a replica is recognized."""
        return [f"{name!r} is on {self._meet(router)}" for name, router in sorted(self._routers.items())]

    def _meet(self, router: Router) -> str:
        try:
            server = describe(router, self.timer)
        except (psycopg2.Error, FlyOrmError, TimerClosed) as error:
            if router.wrapped.comes_later:
                return "a server that cannot be asked yet, as the database may be created later"
            return f"a server that cannot be asked ({' '.join(str(error).split())})"
        return f"the {'primary' if server.primary else 'replica'} {server.address}"

    def open_lease(self, request: Run, deadline: Deadline, peer: str | None = None) -> Lease:
        """A lease on a primary connection with the caller's session settings; one of those that a peer may have.

        Refused if the node is draining, does not serve the database, or the deadline has passed; otherwise the errors
        of :meth:`Shares.take` and :meth:`PrimaryPool.acquire`.
        """
        with self._lock:
            if self.draining:
                raise Refused(SHUTTING_DOWN, reason=reasons.DRAINING)
            self._openings += 1  # for whose end drain() waits
        try:
            return self._open_lease(request, deadline, peer)
        finally:
            with self._lock:
                self._openings -= 1
                if self._drained is not None:
                    self._note_drained()

    def _open_lease(self, request: Run, deadline: Deadline, peer: str | None) -> Lease:
        pool, started = self.pools.get(request.database), now()
        if pool is None:
            served = ", ".join(self.databases)
            raise Refused(
                f"this node serves {served}, not {request.database!r}; let it serve that one, too (fly-orm serve takes "
                "several databases), or give both ends one name for it, with wrap(db, name=…)",
                reason=reasons.UNKNOWN_DATABASE,
            )
        if deadline.at <= started:
            raise Refused("the caller's deadline had passed when the request arrived", reason=reasons.EXPIRED)
        holder = None if peer is None else (peer, pool.name)
        if holder is not None:
            self._shares.take(*holder, deadline)
        try:
            start = Start(request.role, request.start_settings) if request.role else None
            profile = Profile(request.encoding, tuple(request.session_settings), start)
            made, requested = request.made_settings, request.requested_settings
            connection = pool.acquire(profile, deadline, request.newest, made=made, requested=requested)
        except BaseException:
            if holder is not None:
                self._shares.give_back(*holder)
            raise
        limit = self.limits.statement_timeout
        lease = self._leases[request.lease] = Lease(request.lease, pool, connection, self._watchdog, limit)
        lease.holder = holder
        if listeners.lease_opened or listeners.connection_lent:
            self._tell_of(lease, started)
        return lease

    def _tell_of(self, lease: Lease, started: float) -> None:
        """Tell observers of a lease, for which its caller has waited since then."""
        lease.opened_at = now()
        seconds, size = lease.opened_at - started, self.limits.pool_size
        in_use = sum(other.database == lease.database for other in list(self._leases.values()))
        emit(ConnectionLent(database=lease.database, wait=seconds, in_use=in_use, size=size))
        emit(LeaseOpened(database=lease.database, peer=_peer_of(lease), seconds=seconds))

    def describe(self, database: str, peer: str) -> Described | Declined:
        """The server that a database is on, or why that is not known."""
        router = self._routers.get(database)
        if router is None:
            return Declined(reason=reasons.UNKNOWN_DATABASE, message=f"this node does not serve {database!r}")
        try:
            with self._describing.taken(peer, database, Deadline.after(ANSWER_TIMEOUT)):
                return describe(router, self.timer)
        except PoolTimeout as error:
            return Declined(reason=reasons.BUSY, message=f"this node is asking its server already: {error}")
        except psycopg2.Error as error:
            return Declined(
                reason=reasons.UNAVAILABLE, message=f"this node cannot connect to its server: {error}".strip()
            )

    def inspect(self) -> Inspected:
        """How this node is, and which servers its databases are on."""
        leases = [lease.database for lease in list(self._leases.values())]
        running = self._runner.functions
        return self._inspector.inspect(leases, running, channels=len(self.peers), draining=self.draining)

    @property
    def leases(self) -> Counter[str]:
        """How many leases are open, by database."""
        return Counter(lease.database for lease in list(self._leases.values()))

    def waiting(self, database: str) -> int:
        """How many requests wait for a connection: because none is free, or their peer has all that it may have."""
        return self.pools[database].places.usage().waiting + self._shares.waiting(database)

    def settle(self, question: Settle, peer: str) -> Settled | Declined:
        """What became of a request whose caller got no reply, or why that is not known."""
        deadline = Deadline.after(question.run.timeout).within(self.limits.statement_timeout)
        # Its caller has given the lease up, and the transaction must end to be decided.
        if not self._give_up(question.lease) and question.lease:
            self._ask_siblings(GIVE_UP, question.lease, deadline.within(CANCEL_TIMEOUT))
        try:
            with self._settling.taken(peer, question.run.database, deadline):
                lease = self.open_lease(question.run, deadline)
                try:
                    return lease.settle(question, deadline)
                finally:
                    self.end_lease(lease)
        except (PoolTimeout, psycopg2.Error, FlyOrmError) as error:
            return not_opened(error)

    def end_lease(self, lease: Lease) -> None:
        """End a lease; what is open in it is rolled back."""
        with self._lock:
            self._leases.pop(lease.id, None)
            if self._drained is not None:
                self._note_drained()
        if listeners.lease_ended and lease.opened_at is not None:
            emit(LeaseEnded(database=lease.database, peer=_peer_of(lease), seconds=now() - lease.opened_at))
        try:
            lease.end()
        finally:
            if lease.holder is not None:
                self._shares.give_back(*lease.holder)

    def note_recorded(self, database: str) -> None:
        """Note that a request was recorded in the ledger of a database, which may have to be pruned."""
        if (pool := self.pools.get(database)) is not None:
            self._pruner.used(pool)

    def cancel(self, lease: bytes, deadline: Deadline) -> None:
        """Cancel the statement that runs in a lease, if there is one, perhaps another worker's."""
        if not self._cancel(lease):
            self._ask_siblings(CANCEL, lease, deadline)

    def _cancel(self, lease: bytes) -> bool:
        if (found := self._leases.get(lease)) is not None:
            found.cancel()
        return found is not None

    def _give_up(self, lease: bytes) -> bool:
        if (found := self._leases.get(lease)) is not None:
            found.give_up()
        return found is not None

    def _ask_siblings(self, what: int, lease: bytes, deadline: Deadline) -> None:
        if self._siblings is not None:
            self._siblings.ask(what, lease, deadline)

    def call(self, call: Call, on_start: OnStart, peer: str) -> Returned | Declined:
        """The outcome of a peer's call; see :meth:`FunctionRunner.run`."""
        if self.draining:
            return Declined(reason=reasons.DRAINING, message=SHUTTING_DOWN)
        if call.record is not None:
            self.note_recorded(call.database)
        try:
            with self._shares.taken(peer, _FUNCTIONS, node_deadline(call).for_queueing()):
                return self._runner.run(call, on_start, peer)
        except PoolTimeout as error:
            return Declined(reason=reasons.BUSY, message=f"no thread is free to run {call.function}: {error}")

    @property
    def in_progress(self) -> list[str]:
        """The leases that are open, in words."""
        return [f"a transaction or session in {lease.database!r}" for lease in list(self._leases.values())]

    def drain(self, timeout: float | None = 0) -> None:
        """Decline new leases and calls from now on, and wait up to ``timeout`` seconds for the open leases to end."""
        drained = Latch()
        with self._lock:
            self.draining = True
            self._drained = drained
            self._note_drained()
        drained.wait(timeout)

    def _note_drained(self) -> None:
        if self._drained is not None and not self._leases and not self._openings:
            self._drained.set()

    def close(self) -> None:
        """Close the connections to the primary, ending what still runs on them."""
        # What runs is broken off first: its connection comes back to the pool, which then closes it.
        for lease in list(self._leases.values()):
            lease.break_off()
        self._runner.stop()
        for pool in self.pools.values():
            pool.close()
        self.timer.close()


def _peer_of(lease: Lease) -> str:
    return "" if lease.holder is None else lease.holder[0]
