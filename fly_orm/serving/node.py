"""Serves the databases and functions of this process to the nodes of other regions."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..concurrency.background import BackgroundTask
from ..concurrency.timer import TimerClosed
from ..deadline import Deadline
from ..errors import ConfigurationError, FlyOrmError
from ..functions.registering import longest_timeout
from ..parsing import naming
from ..postgres.primary_pool import PrimaryPool
from ..protocol.handshake import GuardedResponder
from ..protocol.keys import keys_of
from ..protocol.strength import weakness
from ..registry import make_transport
from ..routing.router import Router
from ..runtime.runtime import Runtime, default_runtime
from ..settings import Settings
from ..sharing.membership import Membership
from ..transport import Responder, Server, Transport
from ..wrapping import router_of_wrapped
from .channel_executor import ChannelExecutor
from .executor import Executor
from .failed_proofs import FailedProofs
from .function_runner import FunctionRunner
from .primaries import check_primaries
from .servers import note_replica, verify
from .shares import host_of
from .successor import Successor
from .successor import listen as listen_or_none

if TYPE_CHECKING:
    from .http import HttpServer
    from .node_metrics import NodeMetrics
    from .readiness import Problem

log = logging.getLogger("fly_orm.node")

#: Seconds in which requests that are in progress may finish when a node stops, unless a function may take longer.
DRAIN_TIMEOUT = 5.0
#: How many of them (seconds), at most, transactions may not use, so that the last replies reach their callers.
REPLY_TIME = 1.0
_MOMENT = 0.05


class Serving:
    """A node that is serving; made by :func:`serve`. To stop it, close it, or use it as a context manager."""

    def __init__(
        self,
        server: Server,
        executor: Executor,
        runner: FunctionRunner,
        failed: FailedProofs,
        settings: Settings,
        membership: Membership | None = None,
    ) -> None:
        self._server = server
        self._membership = membership
        self._executor = executor
        self._runner = runner
        self._failed = failed
        self._settings = settings
        self._http: HttpServer | None = None
        self._metrics: NodeMetrics | None = None

    @property
    def address(self) -> str:
        """The address of this node, as the ``FLY_ORM_NODES`` of other regions should list it."""
        return self._server.address

    @property
    def databases(self) -> list[str]:
        """The names of the databases that are served, sorted."""
        return self._executor.databases

    @property
    def failed_handshakes(self) -> int:
        """How many peers this node has turned away, as they hold another secret or speak another version."""
        return self._failed.total

    def warn_unless_primary(self) -> None:
        """Log a warning for each database whose server cannot be reached, or is a replica, which takes no writes."""
        for pool in self._executor.pools.values():
            try:
                check_primaries([pool])
            except FlyOrmError as error:
                log.warning("%s", error, extra={"event": "node_not_started", "problem": str(error)})

    def serve_http(self, address: str) -> str:
        """Answer health checks over HTTP until the node is closed; returns the address, with the port.

        ``/livez`` answers 200 while the process serves, and ``/readyz`` 200 or 503, with the reason, within about two
        seconds. docs/deploy/operating.md says what they mean. Anybody may ask, and learns no more than that.

        ConfigurationError if it is served already, or cannot listen at the address.
        """
        from .http import listen  # most processes do not need it, nor asyncio

        if self._http is not None:
            raise ConfigurationError(f"this node serves HTTP already, at {self._http.address}")
        return self.serve_http_on(listen(address))

    def serve_http_on(self, listeners: Sequence[socket.socket]) -> str:
        """Do as :meth:`serve_http`, on sockets that listen already, which are closed with the node."""
        from .health import health_server

        self._http = health_server(listeners, self.address, self._executor, self._settings)
        return self._http.address

    def problems(self) -> list[Problem]:
        """What keeps this node from being ready, as ``/readyz`` says it. Takes up to about two seconds."""
        from .health import problems

        return problems(self.address, self._executor, self._settings)

    def keep_metrics_in_files(self) -> None:
        """Keep metrics from now on, if ``PROMETHEUS_MULTIPROC_DIR`` says where. ImportError without the extra."""
        from ..prometheus.files import is_multiprocess
        from .node_metrics import NodeMetrics

        if is_multiprocess():
            self._metrics = NodeMetrics(self._executor)

    def close(self, drain_timeout: float | None = None) -> None:
        """Stop serving. New requests are declined, and those in progress may take ``drain_timeout`` more seconds.

        None is the setting of that name. Then transactions that are still open are rolled back, functions that still
        run are stopped, and a warning says what they were.
        """
        timeout = self._settings.drain_timeout if drain_timeout is None else drain_timeout
        deadline = Deadline.after(max(DRAIN_TIMEOUT, longest_timeout()) if timeout is None else timeout)
        cancel_warning = self._warn_at(deadline)
        log.info(
            "this node shuts down: it declines new requests, and what is in progress has %s",
            deadline,
            extra={"event": "drain_began", "address": self.address},
        )
        if self._membership is not None:
            self._membership.turns.leave()
        # Leases first, while they can still be reached, to be committed.
        self._executor.drain(deadline.reserving(REPLY_TIME).remaining())
        self._server.close(deadline.remaining())
        cancel_warning()
        self._executor.close()
        self._runner.close()
        if self._http is not None:
            self._http.close()

    def _warn_at(self, deadline: Deadline) -> Callable[[], None]:
        """Warn of what is still in progress just before the deadline, when it ends; returns what cancels that."""
        with suppress(TimerClosed):  # this is the second call of close()
            if (left := deadline.remaining()) is not None:
                return self._executor.timer.call_later(left - _MOMENT, self._warn_in_progress)
        return lambda: None

    def _warn_in_progress(self) -> None:
        if in_progress := Counter([*self._executor.in_progress, *self._runner.in_progress]):
            what = ", ".join(f"{each} ({count})" for each, count in in_progress.items())
            log.warning(
                "the drain timeout is over, and this node ends what is still in progress: %s",
                what,
                extra={"event": "drain_cut_off", "cut_off": what},
            )

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    *databases: Any,
    listen: str | None = None,
    settings: Settings | None = None,
    stand_by: bool = True,
    **limits: float | None,
) -> Serving:
    """Serve wrapped databases and registered functions to the nodes of other regions, in the background.

    Only nodes that hold the same ``FLY_ORM_SECRET`` are served. ``listen`` is an address of the transport, by default
    ``FLY_ORM_LISTEN``. ``settings`` take the place of those of :func:`fly_orm.configure`. Each of the ``limits`` takes
    the place of the setting of that name, such as ``pool_size`` and ``idle_timeout``; docs/limits.md lists them all.
    Each database may see up to ``2 * pool_size + 2`` connections. A caller that is not in a transaction keeps its locks
    and temporary tables for as long as its process runs.

    If another process of the application serves at the address already, such as another worker of the web server, this
    process stands by, and begins to serve within about a second after the other has stopped. The other process has to
    hold the same secret, and to serve these databases in this region. With ``stand_by=False``, an address that is taken
    is a ConfigurationError.

    Returns the running node. It does not run on in a forked child: call this in each process that is to serve.

    Raises ConfigurationError if the transport cannot listen at the address, if other machines can reach the address and
    there is no secret or a weak one, if there is no database or two different ones have the same name, and if a limit
    is unknown or out of bounds.
    """
    runtime = default_runtime() if settings is None else Runtime(settings)
    return serve_in(runtime, databases, listen=listen, stand_by=stand_by, limits=limits)


def serve_in(
    runtime: Runtime,
    databases: Sequence[Any],
    *,
    listen: str | None,
    stand_by: bool = False,
    limits: Mapping[str, float | None],
    membership: Membership | None = None,
) -> Serving:
    """What :func:`serve` returns; with a membership, as one of several workers."""
    settings = runtime.settings.with_limits(**limits)
    if membership is not None:
        settings = settings.with_limits(**membership.limits(settings))
    transport = make_transport(settings.transport, settings)
    address = listen or settings.listen
    _check_secrets(transport, address, settings)
    routers = _routers(databases)
    pools = [
        PrimaryPool(
            router.name,
            router.connect,
            max_size=settings.pool_size,
            keeps_sessions=True,
            verify=partial(verify, router),
            on_replica=partial(note_replica, router),
            max_result_bytes=settings.max_result_bytes,
        )
        for router in routers
    ]
    for router, pool in zip(routers, pools, strict=True):
        pool.comes_later = router.wrapped.comes_later
    runner = FunctionRunner(runtime, pools, limits=settings, databases=routers)
    topology = settings.topology
    executor = Executor(
        topology.region,
        pools,
        runner,
        primary_region=topology.primary_region or "",
        limits=settings,
        routers=routers,
        membership=membership,
    )

    failed = FailedProofs()

    def accept(peer: str, on_gone: Callable[[], None] = _nothing) -> Responder:
        channel = ChannelExecutor(executor, host_of(peer), on_gone)
        return GuardedResponder(settings.secrets, channel, failed.reactions(peer))

    try:
        with naming("listen" if listen else "FLY_ORM_LISTEN", address):
            if membership is not None:
                server: Server | None = membership.serve(transport, settings, address, membership.counting(accept))
            else:
                server = listen_or_none(transport, address, accept, settings, executor.databases)
        if server is None and not stand_by:
            raise ConfigurationError(
                f"another node of this application serves at {address} already; stop it first, or choose another "
                "address (--listen or FLY_ORM_LISTEN)",
                address=address,
            )
    except BaseException:
        executor.close()
        runner.close()
        raise
    serves_at = None if server is None else server.address
    BackgroundTask("fly_orm node start", partial(_meet_servers, runtime, executor, serves_at)).start()
    if server is None:
        announce = partial(_meet_servers, runtime, executor, address)
        server = Successor(address, partial(transport.serve, address, accept), announce)
    return Serving(server, executor, runner, failed, settings, membership)


def _nothing() -> None:
    """Do nothing."""


def _meet_servers(runtime: Runtime, executor: Executor, address: str | None) -> None:
    """Learn what the servers are, and log where the node serves, if it does."""
    servers = executor.meet_servers()
    if address is not None:
        runtime.announcer.node(address, servers)


def _check_secrets(transport: Transport, address: str, settings: Settings) -> None:
    """Raise ConfigurationError if other machines can reach the address, and a secret is missing or weak."""
    problem = weakness(settings.secrets.check())
    if problem is not None and not transport.is_local(address):
        raise ConfigurationError(f"{address} can be reached from other machines, {problem}")
    keys_of(settings.secrets)  # now, and not while the first caller waits


def _routers(databases: Sequence[Any]) -> list[Router]:
    if not databases:
        raise ConfigurationError("serve() needs at least one database")
    routers: dict[str, Router] = {}
    for database in databases:
        router = router_of_wrapped(database)
        if routers.setdefault(router.name, router) is not router:
            raise ConfigurationError(
                f"two databases are called {router.name!r}; give one of them another name with wrap(…, name=…)"
            )
    return list(routers.values())
