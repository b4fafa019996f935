"""Two regions for benchmarks. Servers, serving node and network run in processes other than the one measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import Any, NamedTuple

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
#: Statements are counted only while a benchmark asks for it.
SETTINGS = {
    "wal_init_zero": "off",
    "max_connections": 500,
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",
}
_COUNTS = """
    SELECT coalesce(sum(calls), 0)::int8, coalesce(sum(rows) FILTER (WHERE query ~* '^(insert|update|delete)'), 0)::int8
    FROM pg_stat_statements JOIN pg_database ON oid = dbid
    WHERE datname = '{}' AND query !~ 'pg_stat_statements'"""


class Statements(NamedTuple):
    """How many statements a server has executed while they were counted."""

    calls: int
    rows: int
    """That they have inserted, updated or deleted."""


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
            cursor.execute("CREATE EXTENSION pg_stat_statements")
        self._cluster.wait_for_replica()
        primary = self._cluster.primary
        self._variables = variables
        node, address = self._serve()
        self._rpc = enter(Wan(address))
        self._others: list[Wan] = []
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

    def _serve(self, *options: str) -> tuple[Process, str]:
        environment = {
            "PRIMARY_REGION": "syd",
            "FLY_REGION": "syd",
            "FLY_ORM_LISTEN": "127.0.0.1:0",
            "FLY_ORM_SECRET": SECRET,
            "DATABASE_URL": url(self._cluster.primary, NAME),
            **self._variables,
        }
        command = ("fly_orm", "serve", *options, "tests.bench.node:db")
        node = self._undo.enter_context(Process(*command, environment={**os.environ, **environment}))
        return node, node.hear().rpartition(" ")[2]

    def another_node(self, *options: str) -> tuple[int, str]:
        """Start one more node, with options of ``fly-orm serve``, which stops with the rest: its pid and address."""
        node, address = self._serve(*options)
        return node.pid, address

    def far(self, address: str) -> str:
        """The address of a network of its own in front of another node."""
        link = self._undo.enter_context(Wan(address, rtt=self._rpc.rtt))
        self._others.append(link)
        return link.address

    def set_rtt(self, seconds: float) -> None:
        """Put the regions so far apart, on every link."""
        for link in (self._rpc, self._direct, self._cluster.replication_link, *self._others):
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
        self._cluster.wait_for_replica(timeout=60)

    def count_statements(self, track: str) -> None:
        """Count statements from now on ("top"), or no longer ("none"), on both servers."""
        for server in (self._cluster.primary, self._cluster.replica):
            server.query(f"ALTER SYSTEM SET pg_stat_statements.track = '{track}'")
            server.query("SELECT pg_reload_conf()")

    def statements(self) -> tuple[Statements, Statements]:
        """What the primary and the replica have counted."""
        counted = []
        for server in (self._cluster.primary, self._cluster.replica):
            with closing(server.connect(NAME)) as connection, connection.cursor() as cursor:
                cursor.execute(_COUNTS.format(NAME))
                counted.append(Statements(*cursor.fetchone()))
        return counted[0], counted[1]

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
    def counted(self) -> Iterator[Callable[[], tuple[Statements, Statements]]]:
        """A block in which the servers count statements: what tells how many the primary and the replica have seen."""
        self.backstage.count_statements("top")
        try:
            yield self.backstage.statements
        finally:
            self.backstage.count_statements("none")

    @contextmanager
    def lax(self, **options: Any) -> Iterator[Any]:
        """A wrapped database on the replica."""
        with self._database("replica") as database:
            yield fly_orm.wrap(database, settings=lax_settings(self.reach["rpc"]), **options)

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


def lax_settings(address: str, **others: Any) -> Settings:
    """Those of a process in lax that knows one node, at this address."""
    topology = Topology(region="lax", primary_region="syd")
    nodes = {"syd": (Node(region="syd", address=address),)}
    given = {"rpc_timeout": 30, "replication_timeout": 30, **others}
    return Settings(topology=topology, nodes=nodes, secret=SECRET, **given)


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
