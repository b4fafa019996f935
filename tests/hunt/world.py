"""Three servers, one of which is the primary, a node on each of them, and one address for those that lax reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from examples.two_regions.process import Process
from fly_orm.testing import Cluster, Server
from tests.support.nodes import environment_in, url
from tests.support.round_robin import RoundRobin, round_robin
from tests.support.waiting import until

from .shop import COUNTERS, TABLE, URL

NAME, ROLE = "hunted", "app"
GRANTS = (
    f"CREATE ROLE {ROLE} LOGIN",
    f"GRANT SELECT, UPDATE ON counter TO {ROLE}",
    f"GRANT pg_read_all_stats TO {ROLE}",
)
#: Some managed servers let nobody call these.
SILENCE = "REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint(), pg_control_recovery() FROM PUBLIC"
#: A replica writes little down between its restartpoints, so that it comes back from a crash with less than it had.
SETTINGS = {"bgwriter_lru_maxpages": 0, "checkpoint_timeout": "1h"}


@dataclass(kw_only=True)
class World:
    """What the trouble is made with. One thread may use it, except for :meth:`ask`."""

    cluster: Cluster
    servers: list[Server]
    address: RoundRobin
    nodes: str
    tells: bool = True
    """Whether the servers tell their system and timeline to the role that the application has."""
    primary: Server = field(init=False)

    def __post_init__(self) -> None:
        self.primary = self.servers[0]

    @property
    def replicas(self) -> list[Server]:
        """All servers but the primary."""
        return [server for server in self.servers if server is not self.primary]

    @property
    def environment(self) -> dict[str, str]:
        """That of a process in lax, which knows the nodes of all servers: one of them can write."""
        host, port = self.address.parameters.values()
        return {
            **environment_in("lax"),
            URL: f"postgresql://{ROLE}@{host}:{port}/{NAME}",
            "FLY_ORM_NODES": self.nodes,
            "FLY_ORM_REPLICATION_TIMEOUT": "0.2",
            "FLY_ORM_RPC_TIMEOUT": "3",
        }

    def query(self, sql: str) -> Any:
        """What the primary answers to a query on the database that is hunted in."""
        with self.primary.connect(NAME) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None

    def flushed(self) -> str:
        """How far the primary is."""
        return str(self.primary.query("SELECT pg_current_wal_flush_lsn()::text"))

    def are_streaming(self) -> bool:
        """Whether each replica is connected to the primary, or to one that is."""
        return all(_ask(server, "SELECT status FROM pg_stat_wal_receiver") == "streaming" for server in self.replicas)

    def wait_until_streaming(self) -> None:
        """Wait for that; a replica that goes its own way is rebuilt."""
        try:
            until(self.are_streaming)
        except AssertionError:
            for server in self.replicas:
                if _ask(server, "SELECT status FROM pg_stat_wal_receiver") != "streaming":
                    self.cluster.rebuild(server, self.primary)

    def reset(self) -> None:
        """Bring everything in order."""
        for server in self.servers:
            server.start()
        self.wait_until_streaming()
        for server in self.replicas:
            server.query("SELECT pg_wal_replay_resume()")
        self.address.lead_to(self.replicas)


def _ask(server: Server, sql: str) -> Any:
    try:
        return server.query(sql)
    except psycopg2.Error:
        return None


def _free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, at least not until something else is given them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def world(*, tells: bool = True) -> Iterator[World]:
    """A world as long as the block lasts, where an ordinary role works."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.start(settings=SETTINGS))
        servers = [cluster.primary, cluster.replica, cluster.add_replica()]
        address = stack.enter_context(round_robin(*servers[1:]))
        cluster.create_database(NAME)
        places = [f"127.0.0.1:{port}" for port in _free_ports(len(servers))]
        made = World(cluster=cluster, servers=servers, address=address, nodes=f"syd={' '.join(places)}", tells=tells)
        for sql in (TABLE, COUNTERS, *(GRANTS if tells else (*GRANTS[:-1], SILENCE))):
            made.query(sql)
        for server in made.replicas:
            until(lambda server=server: server.query("SELECT pg_last_wal_replay_lsn() = %s", made.flushed()))
        for server, place in zip(servers, places, strict=True):
            own = url(server, NAME).replace("postgres@", f"{ROLE}@")
            environment = made.environment | {"FLY_REGION": "syd", URL: own, "FLY_ORM_LISTEN": place}
            node = Process("fly_orm", "serve", "tests.hunt.shop:db", environment=environment)
            stack.enter_context(node).hear()
        yield made
