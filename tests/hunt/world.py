"""Three servers, one of which is the primary, a node on each of them, and one address for those that lax reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from examples.two_regions.process import Process
from fly_orm.testing import Cluster, RoundRobin
from tests.support.nodes import environment_in, url
from tests.support.ports import free_ports
from tests.support.servers import Servers

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
class World(Servers):
    """What the trouble is made with. One thread may use it."""

    address: RoundRobin
    nodes: str
    tells: bool = True
    """Whether the servers tell their system and timeline to the role that the application has."""

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

    def reset(self) -> None:
        """Bring everything in order."""
        for server in self.servers:
            server.start()
        self.wait_until_streaming()
        for server in self.replicas:
            server.query("SELECT pg_wal_replay_resume()")
        self.address.lead_to(self.replicas)


@contextmanager
def world(*, tells: bool = True) -> Iterator[World]:
    """A world as long as the block lasts, where an ordinary role works."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.start(settings=SETTINGS))
        servers = [cluster.primary, cluster.replica, cluster.add_replica()]
        address = stack.enter_context(RoundRobin(*servers[1:]))
        cluster.create_database(NAME)
        places = [f"127.0.0.1:{port}" for port in free_ports(len(servers))]
        nodes = f"syd={' '.join(places)}"
        made = World(cluster=cluster, servers=servers, name=NAME, address=address, nodes=nodes, tells=tells)
        for sql in (TABLE, COUNTERS, *(GRANTS if tells else (*GRANTS[:-1], SILENCE))):
            made.query(sql)
        made.wait_for_replicas()
        for server, place in zip(servers, places, strict=True):
            own = url(server, NAME).replace("postgres@", f"{ROLE}@")
            environment = made.environment | {"FLY_REGION": "syd", URL: own, "FLY_ORM_LISTEN": place}
            node = Process("fly_orm", "serve", "tests.hunt.shop:db", environment=environment)
            stack.enter_context(node).hear()
        yield made
