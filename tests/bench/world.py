"""Two regions for benchmarks. Servers, serving node and network run in processes other than the one measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import Any

import peewee

import fly_orm
from examples.two_regions.process import Process
from fly_orm.settings import Settings
from fly_orm.testing import Cluster, Wan
from fly_orm.topology import Node, Topology
from tests.support.nodes import url
from tests.support.two_regions import close

NAME = "bench"
SECRET = "kT2v8Qw1nZ0yLr7Jm4HcXb6PdEs9GfUaVi3OoKqNtRw"
#: A server that has run for a while finds its next WAL segment made; filling one with zeros takes 50 ms here.
SETTINGS = {"wal_init_zero": "off"}


class Backstage:
    """Everything but the application; lives in a process of its own."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def open(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """Start it, with further variables for the node, and return how to reach it."""
        enter = self._undo.enter_context
        self._cluster = enter(Cluster.start(replication_rtt=0, settings=SETTINGS))
        self._cluster.create_database(NAME)
        with self._cluster.primary.connect(NAME) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE row (id serial PRIMARY KEY, name text NOT NULL, number integer NOT NULL)")
        self._cluster.wait_for_replica()
        primary = self._cluster.primary
        environment = {
            "PRIMARY_REGION": "syd",
            "FLY_REGION": "syd",
            "FLY_ORM_LISTEN": "127.0.0.1:0",
            "FLY_ORM_SECRET": SECRET,
            "DATABASE_URL": url(primary, NAME),
            **variables,
        }
        command = ("fly_orm", "serve", "tests.bench.node:db")
        node = enter(Process(*command, environment={**os.environ, **environment}))
        address = node.hear().rpartition(" ")[2]
        self._rpc = enter(Wan(address))
        self._direct = enter(Wan(f"{primary.host}/.s.PGSQL.{primary.port}"))
        host, _, port = self._direct.address.rpartition(":")
        return {
            "rpc": self._rpc.address,
            "node": address,
            "node pid": node.pid,
            "direct": {**primary.params(NAME), "host": host, "port": int(port)},
            "primary": primary.params(NAME),
            "replica": self._cluster.replica.params(NAME),
            "version": primary.query("SHOW server_version"),
        }

    def set_rtt(self, seconds: float) -> None:
        """Put the regions so far apart, on every link."""
        for link in (self._rpc, self._direct, self._cluster.replication_link):
            link.rtt = seconds

    def set_apply_delay(self, seconds: float) -> None:
        """Let the replica replay each commit so much later."""
        self._cluster.apply_delay(seconds)

    def pause(self) -> None:
        """Let the replica replay nothing."""
        self._cluster.pause_replay()

    def resume(self) -> None:
        """Let the replica replay again; it has caught up when this returns."""
        self._cluster.resume_replay()
        self._cluster.wait_for_replica(60)

    def round_trips(self) -> tuple[int, int]:
        """How many there have been: to the serving node, and straight to the primary."""
        return self._rpc.round_trips, self._direct.round_trips

    def close(self) -> None:
        """Stop everything."""
        self._undo.close()


class _Manager(BaseManager):
    pass


_Manager.register("Backstage", Backstage)


@dataclass(frozen=True, kw_only=True)
class World:
    """What a benchmark works with."""

    backstage: Any
    reach: dict[str, Any]

    @contextmanager
    def apart(self, rtt: float) -> Iterator[None]:
        """A block in which the regions are a round trip of ``rtt`` seconds apart."""
        self.backstage.set_rtt(rtt)
        try:
            yield
        finally:
            self.backstage.set_rtt(0)

    @contextmanager
    def lax(self, **options: Any) -> Iterator[Any]:
        """A wrapped database on the replica."""
        nodes = {"syd": (Node(region="syd", address=self.reach["rpc"]),)}
        topology = Topology(region="lax", primary_region="syd")
        settings = Settings(topology=topology, nodes=nodes, secret=SECRET, rpc_timeout=30, replication_timeout=30)
        with self._database("replica") as database:
            yield fly_orm.wrap(database, settings=settings, **options)

    @contextmanager
    def syd(self) -> Iterator[Any]:
        """A wrapped database on the primary, in the primary region."""
        settings = Settings(topology=Topology(region="syd", primary_region="syd"), secret=SECRET)
        with self._database("primary") as database:
            yield fly_orm.wrap(database, settings=settings)

    def on_primary(self) -> Any:
        """An unwrapped database on the primary, next to it."""
        return self._database("primary")

    def replica(self) -> Any:
        """An unwrapped database on the replica."""
        return self._database("replica")

    def direct(self) -> Any:
        """An unwrapped database on the primary, over a link as long as the one of fly_orm."""
        return self._database("direct")

    @contextmanager
    def _database(self, where: str) -> Iterator[Any]:
        parameters = dict(self.reach[where])
        database = peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters)
        try:
            yield database
        finally:
            close(database)


def model(database: Any) -> Any:
    """The model of the one table there is, bound to a database."""

    class Row(peewee.Model):
        name = peewee.TextField()
        number = peewee.IntegerField()

    Row.bind(database)
    return Row


@contextmanager
def world(**variables: str) -> Iterator[World]:
    """A world, as long as the block lasts, with further variables for the node."""
    with _Manager(ctx=get_context("spawn")) as manager:
        backstage = manager.Backstage()
        try:
            yield World(backstage=backstage, reach=backstage.open(variables))
        finally:
            backstage.close()
