"""The servers of the runs, and the addresses at which a suite reaches them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fly_orm.testing import Cluster, RoundRobin, Server
from tests.support.pgbouncer import pgbouncer

from .log import selects
from .modes import Mode

#: The suites keep many connections, and in session mode each of them needs one to a server.
_POOL = {"default_pool_size": 60, "max_client_conn": 500}


class Servers:
    """A primary and as many replicas as the modes need."""

    def __init__(self, cluster: Cluster, modes: Iterable[Mode]) -> None:
        self.cluster = cluster
        more = max(mode.replicas for mode in modes) - 1
        self.replicas = [cluster.replica, *(cluster.add_replica() for _ in range(more))]

    @contextmanager
    def address(self, mode: Mode) -> Iterator[dict[str, Any]]:
        """The connection parameters of a mode's servers, as long as the block lasts."""
        servers = self.replicas[: mode.replicas] if mode.wrapped else [self.cluster.primary]
        with ExitStack() as undo:
            parameters = servers[0].params()
            if len(servers) > 1:
                parameters |= undo.enter_context(RoundRobin(*servers)).parameters
            if mode.pooling:
                parameters |= undo.enter_context(pgbouncer(mode.pooling, parameters, **_POOL)).parameters
            yield parameters

    def make_database(self, name: str, extensions: Iterable[str]) -> None:
        """Make an empty database of this name, which the replicas have too."""
        self.cluster.drop_database(name)
        self.cluster.create_database(name)
        with self.cluster.primary.connect(name) as connection, connection.cursor() as cursor:
            for extension in extensions:
                cursor.execute(f"CREATE EXTENSION {extension}")
        self.cluster.wait_for_replica()

    @contextmanager
    def counted(self, database: str) -> Iterator[Counts]:
        """The SELECTs of a suite that run in the block, once it has ended."""
        logs = [self.cluster.primary, *self.replicas]
        before = [server.log.stat().st_size for server in logs]
        counts = Counts()
        yield counts
        found = [selects(server.log, database, offset) for server, offset in zip(logs, before, strict=True)]
        counts.on_primary, counts.on_replicas = found[0], sum(found[1:])


class Counts:
    """How many SELECTs each kind of server has completed."""

    on_primary = 0
    on_replicas = 0


def unavailable(server: Server, extensions: Iterable[str]) -> list[str]:
    """Those of the extensions that are not installed with a server."""
    known = "SELECT 1 FROM pg_available_extensions WHERE name = %s"
    return [name for name in extensions if server.query(known, name) is None]
