"""Three regions for a test: a server, a node and a caller in each, with the settings that the README shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import peewee
from playhouse.db_url import connect

import fly_orm
from fly_orm.runtime.runtime import Runtime, use_runtime
from fly_orm.testing import Cluster, Server
from fly_orm.topology import Node
from tests.support import shop
from tests.support.nodes import node_process, url
from tests.support.ports import free_ports
from tests.support.two_regions import close, named, settings
from tests.support.waiting import until

NAME = "shop"
REGIONS = ("syd", "lax", "ams")
#: Longer than a request may take on a busy machine, and short enough to wait for in a test.
RPC_TIMEOUT = 3.0
#: Stands for a node where there is none in between.
HERE = "here"


@dataclass(kw_only=True)
class Region:
    """The application in one region, as a caller that lives in this process."""

    name: str
    db: Any
    runtime: Runtime
    written: list[str] = field(default_factory=list)
    """The names of the items whose creation was confirmed."""

    def write(self) -> str:
        """Create an item, see it, and return the node that did it."""
        name = f"{self.name} {len(self.written)}"
        with fly_orm.session():
            self.db.execute_sql("INSERT INTO item (name, price) VALUES (%s, 0)", (name,))
            self.written.append(name)
            node = served_by()
            assert self._sees(name)
        return node

    def write_by_function(self) -> str:
        """Let a function create an item, see it, and return the region where functions run; HERE if in this process."""
        name = f"{self.name} {len(self.written)}"
        with fly_orm.session(), use_runtime(self.runtime):
            shop.stock_all(name)
            self.written.append(name)
            assert self._sees(name)
            pid, region, _ = shop.where()
        return HERE if pid == os.getpid() else str(region)

    def recovers(self, work: Callable[[], str], region: str) -> None:
        """Wait until the work succeeds in a region, and meanwhile fails only in ways that are safe to repeat."""
        until(lambda: self._attempt(work).startswith(region), f"{self.name} does not find the primary in {region}")

    def _attempt(self, work: Callable[[], str]) -> str:
        try:
            return work()
        except peewee.PeeweeException as error:
            if isinstance(error, fly_orm.OutcomeUnknown):
                raise
            self.db.close()
            return "nowhere"

    def _sees(self, name: str) -> bool:
        return bool(self.db.execute_sql("SELECT count(*) FROM item WHERE name = %s", (name,)).fetchone()[0])


@dataclass(kw_only=True)
class ThreeRegions:
    """The servers, and the callers by region."""

    cluster: Cluster
    servers: dict[str, Server]
    callers: dict[str, Region]

    def lead(self, region: str) -> None:
        """Promote the server of a region. Those of the others that run follow it from then on."""
        leader = self.servers[region]
        leader.query("SELECT pg_promote(true, 60)")
        for name, server in self.servers.items():
            if name != region and server.running:
                self.follow(name, region)

    def follow(self, name: str, leader: str) -> None:
        """Let the server of a region follow that of another one from now on; it runs afterwards."""
        self.cluster.follow(self.servers[name], self.servers[leader])

    def stored(self) -> list[str]:
        """The names of the items on the primary, sorted."""
        (leader,) = [each for each in self.servers.values() if each.running and not is_replica(each)]
        with leader.connect(NAME) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM item ORDER BY name")
            return [name for (name,) in cursor.fetchall()]


def served_by() -> str:
    """The node that the session's last statement or call went to; HERE if it went to none."""
    served = fly_orm.why()
    return HERE if served is None or served.node is None else served.node


def is_replica(server: Server) -> bool:
    return bool(server.query("SELECT pg_is_in_recovery()"))


@contextmanager
def three_regions(cluster: Cluster) -> Iterator[ThreeRegions]:
    """Three regions on a cluster of the test's own, whose primary is in syd."""
    with ExitStack() as undo:
        cluster.create_database(NAME)
        plain = connect(url(cluster.primary, NAME))
        with plain.bind_ctx(shop.MODELS), plain.connection_context():
            plain.create_tables(shop.MODELS)
        servers = dict(zip(REGIONS, (cluster.primary, cluster.replica, cluster.add_replica()), strict=True))
        cluster.wait_for_replica()
        ports = free_ports(len(REGIONS))
        addresses = {region: f"127.0.0.1:{port}" for region, port in zip(REGIONS, ports, strict=True)}
        listed = ", ".join(f"{region}={address}" for region, address in addresses.items())
        for region, server in servers.items():
            own = {"FLY_REGION": region, "FLY_ORM_LISTEN": addresses[region], "SHOP_URL": url(server, NAME)}
            node = node_process("tests.support.shop:db", FLY_ORM_NODES=listed, **own)
            undo.enter_context(node).address()
        nodes = {region: (Node(region=region, address=address),) for region, address in addresses.items()}
        callers = {}
        for region, server in servers.items():
            given = settings(region, nodes=nodes, rpc_timeout=RPC_TIMEOUT, replication_timeout=2.0)
            db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(server, NAME)), settings=given)
            runtime = db._fly_orm._options.runtime
            undo.callback(close, db)
            callers[region] = Region(name=region, db=db, runtime=runtime)
        undo.enter_context(callers["syd"].db.bind_ctx(shop.MODELS))  # for functions that run here, in syd
        yield ThreeRegions(cluster=cluster, servers=servers, callers=callers)
