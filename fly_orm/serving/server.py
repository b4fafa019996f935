"""Serves this node's databases to the nodes of other regions."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import psycopg2

from ..deadline import Deadline
from ..errors import ConfigurationError, FlyOrmError
from ..postgres.primary_pool import PrimaryPool
from ..protocol.handshake import GuardedResponder
from ..registry import make_transport
from ..runtime.runtime import Runtime, default_runtime
from ..settings import Settings
from ..transport import Responder, Server, Transport
from ..wrapping import router_of
from .executor import IDLE_TIMEOUT, Executor
from .runner import Runner

log = logging.getLogger("fly_orm")

#: Connections to the primary that the nodes of other regions share on this node, per database.
POOL_SIZE = 10
#: Seconds that requests under way get to finish when a node stops.
DRAIN_TIMEOUT = 5.0


class Serving:
    """A node that is serving. Close it, or use it as a context manager, to stop."""

    def __init__(self, server: Server, executor: Executor, runner: Runner) -> None:
        self._server = server
        self._executor = executor
        self._runner = runner

    @property
    def address(self) -> str:
        """The address to name in the other regions' ``FLY_ORM_NODES``."""
        return self._server.address

    @property
    def databases(self) -> list[str]:
        """The names of the databases that are served."""
        return sorted(self._executor.pools)

    def close(self, drain_timeout: float = DRAIN_TIMEOUT) -> None:
        """Stop: decline what is new, give what is under way so many seconds, roll back what is open then."""
        deadline = Deadline.after(drain_timeout)
        self._executor.drain(drain_timeout)
        self._server.close(deadline.remaining() or 0.0)
        self._executor.close()
        self._runner.close()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    *databases: Any,
    listen: str | None = None,
    pool_size: int = POOL_SIZE,
    idle_timeout: float | None = IDLE_TIMEOUT,
    settings: Settings | None = None,
) -> Serving:
    """Serve wrapped databases and registered functions in the background, to the nodes that hold the same secret.

    ``listen`` is the transport's address (by default ``FLY_ORM_LISTEN``), ``pool_size`` the number of statements or
    transactions per database, and of functions, that run at a time (a database may see twice as many connections, and
    two more), and ``idle_timeout`` the seconds after which a transaction whose caller says nothing is rolled back
    (None: never).

    Raises ConfigurationError if the address cannot be served, or is not on loopback while no secret is set.
    """
    runtime = default_runtime() if settings is None else Runtime(settings)
    settings = runtime.settings
    transport = make_transport(settings.transport, settings)
    address = listen or settings.listen
    _require_secret(transport, address, settings)
    pools = _pools(databases, pool_size)
    runner = Runner(runtime, pools, max_size=pool_size)
    executor = Executor(settings.topology.region, pools, runner, idle_timeout=idle_timeout)

    def accept(peer: str) -> Responder:
        return GuardedResponder(settings.secret, executor.accept(peer))

    try:
        server = transport.serve(address, accept)
    except BaseException:
        executor.close()
        runner.close()
        raise
    return Serving(server, executor, runner)


def _require_secret(transport: Transport, address: str, settings: Settings) -> None:
    if not settings.secret and not transport.is_local(address):
        raise ConfigurationError(
            f"{address} can be reached from other machines, so FLY_ORM_SECRET must be set (here and on every node that "
            "calls), for instance to the output of `openssl rand -hex 32`"
        )


def _pools(databases: tuple[Any, ...], size: int) -> list[PrimaryPool]:
    if not databases:
        raise ConfigurationError("serve() needs at least one database")
    pools: dict[str, PrimaryPool] = {}
    for database in databases:
        router = router_of(database)
        if router.name in pools:
            raise ConfigurationError(f"two databases are called {router.name!r}; tell them apart with wrap(…, name=…)")
        pools[router.name] = PrimaryPool(router.name, router.connect, max_size=size)
    return list(pools.values())


def warn_unless_primary(serving: Serving) -> None:
    """Log what will be declined because this node's database is a replica, or cannot be reached."""
    for pool in serving._executor.pools.values():
        try:
            pool.check()
        except FlyOrmError as error:
            log.warning("%s", error)
        except psycopg2.Error as error:
            log.warning("the database %r of this node cannot be reached: %s", pool.name, str(error).strip())
