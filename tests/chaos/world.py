"""A primary region and two secondary ones: servers, nodes, clients, and the networks between them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fly_orm.deadline import now
from fly_orm.ledger.table import create_sql
from fly_orm.testing import Cluster, Server, Wan
from tests.support.nats_server import NatsProcess, nats_server
from tests.support.nodes import environment_in, url
from tests.support.ports import free_ports
from tests.support.servers import Servers

from .app import AGES, ALL_ROWS, LEDGER, NAME, TABLE, URL
from .children import Child
from .history import Final, Journal, Rows
from .notes import REPLICATION_TIMEOUT, RPC_TIMEOUT
from .plants import PLANT

ROLE = "app"
GRANTS = f"""
    CREATE ROLE {ROLE} LOGIN;
    GRANT SELECT, INSERT ON entry TO {ROLE};
    GRANT USAGE ON SEQUENCE entry_id_seq TO {ROLE};
    GRANT pg_read_all_stats TO {ROLE};
"""
#: A replica writes little down between its restartpoints, so that it comes back from a crash with less than it had.
SETTINGS = {"bgwriter_lru_maxpages": 0, "checkpoint_timeout": "1h"}
#: The regions, by the order of their servers; those in which clients run are secondary at first.
REGIONS = ("syd", "lax", "ams")
HOMES = ("lax", "ams")
#: The nodes of each region.
NODES = {"syd": 2, "lax": 1, "ams": 1}
#: Seconds between the regions, there and back.
RTT = 0.01


@dataclass(kw_only=True)
class Links:
    """The networks from one region to the nodes of all others, and to the NATS server."""

    to_nodes: dict[str, list[Wan]]
    to_nats: Wan

    @property
    def all(self) -> list[Wan]:
        return [*itertools.chain.from_iterable(self.to_nodes.values()), self.to_nats]

    def end_of(self, wan: Wan) -> str:
        """Where one of them leads."""
        nodes = {
            other: f"node {number} of {region}"
            for region, wans in self.to_nodes.items()
            for number, other in enumerate(wans)
        }
        return nodes.get(wan, "NATS")

    def variables(self, transport: str) -> Mapping[str, str]:
        """What tells a process of this region where the nodes are."""
        if transport == "nats":
            nodes = {region: [f"nats:{region}"] for region in REGIONS}
        else:
            nodes = {region: [wan.address for wan in wans] for region, wans in self.to_nodes.items()}
        return {
            "FLY_ORM_TRANSPORT": transport,
            "FLY_ORM_NODES": ", ".join(f"{region}={' '.join(places)}" for region, places in nodes.items()),
            "NATS_URL": f"nats://{self.to_nats.address}",
        }


@dataclass(kw_only=True)
class World(Servers):
    """All that can be made to fail."""

    folder: Path
    nats: NatsProcess
    links: dict[str, Links]
    journal: Journal
    nodes: list[Child] = field(default_factory=list)
    clients: list[Child] = field(default_factory=list)
    failing: set[Wan] = field(default_factory=set)
    """The networks that fail just now."""
    losing: threading.Lock = field(default_factory=threading.Lock)
    """Held while the primary lacks rows of which the history does not say yet that a failover has lost them."""
    plants: Sequence[str] = ()
    ledger: bool = False
    _urls: dict[str, str] = field(init=False)
    """Where the servers of the regions are: at other ports, for a while, when one is looked into that is superseded."""
    _incarnations: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._urls = {region: url(self.server_of(region), NAME) for region in REGIONS}

    @property
    def wans(self) -> list[Wan]:
        return [wan for links in self.links.values() for wan in links.all]

    @property
    def primary_region(self) -> str:
        """The region whose server is the primary now."""
        return self.region_of(self.primary)

    def region_of(self, server: Server) -> str:
        return REGIONS[self.servers.index(server)]

    def server_of(self, region: str) -> Server:
        return self.servers[REGIONS.index(region)]

    def rows(self, sql: str) -> Rows:
        """What the primary returns to a query for writes and their numbers of rows."""
        return rows_of(self.primary, sql)

    def contents(self) -> Final:
        """What the primary has."""
        began = now()
        ages = self.rows(AGES)
        return Final(rows=self.rows(ALL_ROWS), written={op: began - age for op, age in ages.items()})

    def new_client(self, region: str, transport: str) -> Child:
        """Another client process, to be started."""
        number = next(self._incarnations)
        name = f"{region}-{transport}-{number}"
        return Child(
            name,
            "tests.chaos.client",
            str(self.folder),
            name,
            str(number),
            environment=self._environment(region, transport),
            folder=self.folder,
        )

    def new_node(self, region: str, port: int) -> Child:
        """A node process, to be started."""
        name = f"node-{region}-{port}"
        environment = self._environment(region, "pyro5") | {"FLY_ORM_LISTEN": f"127.0.0.1:{port}"}
        return Child(name, "tests.chaos.node", str(self.folder), name, environment=environment, folder=self.folder)

    def replace_client(self, client: Child) -> None:
        """Start another process in place of a client that has ended, and wait until it works."""
        region, transport, _ = client.name.split("-")
        new = self.clients[self.clients.index(client)] = self.new_client(region, transport)
        new.start_until_serving()

    def heal(self) -> None:
        """Let every network work."""
        for wan in self.wans:
            wan.heal()

    def _environment(self, region: str, transport: str) -> dict[str, str]:
        return {
            **environment_in(region),
            **self.links[region].variables(transport),
            URL: self._urls[region].replace("postgres@", f"{ROLE}@"),
            "FLY_ORM_RPC_TIMEOUT": str(RPC_TIMEOUT),
            "FLY_ORM_REPLICATION_TIMEOUT": str(REPLICATION_TIMEOUT),
            PLANT: ",".join(self.plants),
            **({LEDGER: "on"} if self.ledger else {}),
        }


def rows_of(server: Server, sql: str) -> Rows:
    """What a server returns to a query for writes and their numbers of rows."""
    with server.connect(NAME) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return dict(cursor.fetchall())


@contextmanager
def world(folder: Path, *, plants: Sequence[str] = (), ledger: bool = False) -> Iterator[World]:
    """A world as long as the block lasts, which leaves its journals in a folder."""
    (folder / "letters").mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.start(settings=SETTINGS))
        servers = [cluster.primary, cluster.replica, cluster.add_replica()]
        cluster.create_database(NAME)
        nats = stack.enter_context(nats_server())
        free = iter(free_ports(sum(NODES.values())))
        ports = {region: [next(free) for _ in range(number)] for region, number in NODES.items()}
        links = {region: _links(stack, region, ports, nats) for region in REGIONS}
        made = World(
            cluster=cluster,
            servers=servers,
            name=NAME,
            folder=folder,
            nats=nats,
            links=links,
            journal=Journal(folder / "world.jsonl"),
            plants=plants,
            ledger=ledger,
        )
        stack.callback(_kill_all, made)
        made.query(TABLE + GRANTS + (create_sql([ROLE]) if ledger else ""))
        made.wait_for_replicas()
        made.nodes = [made.new_node(region, port) for region in REGIONS for port in ports[region]]
        made.clients = [made.new_client(region, transport) for region in HOMES for transport in ("pyro5", "nats")]
        for child in [*made.nodes, *made.clients]:
            child.start()
        for child in [*made.nodes, *made.clients]:
            assert child.wait_until_serving(), child.said()
        yield made


def _links(stack: ExitStack, region: str, ports: Mapping[str, list[int]], nats: NatsProcess) -> Links:
    def link(port: int, rtt: float) -> Wan:
        return stack.enter_context(Wan(f"127.0.0.1:{port}", rtt=rtt))

    to_nodes = {other: [link(port, RTT * (other != region)) for port in ports[other]] for other in REGIONS}
    return Links(to_nodes=to_nodes, to_nats=link(nats.port, RTT))


def _kill_all(made: World) -> None:
    for child in [*made.clients, *made.nodes]:
        if child.started:
            child.kill()
