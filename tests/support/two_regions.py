"""Two regions for a test: ``syd`` with the primary and a serving node, ``lax`` with the replica, a network between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import peewee

import fly_orm
from fly_orm.settings import Settings
from fly_orm.testing import Cluster, Wan
from fly_orm.topology import Node, Topology

SECRET = "a secret for tests, long enough"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How messages get from lax to syd: here over TCP, straight to a node on this machine."""

    transport: str = Settings.transport

    def listen(self) -> str:
        """An address to serve at, which is free."""
        return "127.0.0.1:0"

    def network(self, address: str, *, rtt: float = 0.0) -> Any:
        """The network between lax and a node, until it is closed."""
        return Wan(address, rtt=rtt)

    def require_processes(self) -> None:
        """Skip the test if no other process can be reached."""

    def variables(self) -> dict[str, str]:
        """What another process that serves has to be told."""
        self.require_processes()
        return {"FLY_ORM_TRANSPORT": self.transport, "FLY_ORM_LISTEN": self.listen()}


#: The one that tests use at present; ``over.py`` exchanges it.
way = Way()


def settings(region: str, address: str | None = None, **changes: Any) -> Settings:
    """The settings of a node in a region, which knows one node in syd."""
    nodes = {"syd": (Node(region="syd", address=address),)} if address else {}
    given = {"secret": SECRET, "nodes": nodes, "transport": way.transport, **changes}
    return Settings(topology=Topology(region=region, primary_region="syd"), **given)


@dataclass
class TwoRegions:
    """Databases in both regions, and what lies between them."""

    cluster: Cluster
    name: str
    serving: fly_orm.Serving
    wan: Wan
    undo: ExitStack = field(repr=False)

    def plain(self, cls: type = peewee.PostgresqlDatabase, **parameters: Any) -> Any:
        """An unwrapped database on the primary."""
        return self._database(self.cluster.primary, cls, parameters)

    def lax(self, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A wrapped database on the replica."""
        return self.on(self.cluster.replica, cls, options=options, **parameters)

    def on(self, server: Any, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A database on any server, wrapped as in lax unless the options say otherwise."""
        database = self._database(server, cls, parameters)
        return fly_orm.wrap(database, **{"settings": self.lax_settings(), **(options or {})})

    def syd(self, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A wrapped database on the primary."""
        return self.on(
            self.cluster.primary, cls, options={"settings": settings("syd"), **(options or {})}, **parameters
        )

    def lax_settings(self, **changes: Any) -> Settings:
        """The settings of a node in lax."""
        return settings("lax", self.wan.address, **changes)

    def query(self, sql: str) -> Any:
        """The first column of the first row that the primary returns."""
        with self.cluster.primary.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None

    def _database(self, server: Any, cls: type, parameters: dict[str, Any]) -> Any:
        given = {**server.params(self.name), **parameters}
        database = cls(given.pop("dbname"), **given)
        self.undo.callback(close, database)
        return database


def close(database: Any) -> None:
    """Close all that a database has open."""
    if hasattr(database, "close_all"):
        database.close_all()
    if not database.is_closed():
        database.close()
    router = getattr(database, "_fly_orm", None)
    if router is not None:
        router.close()


@contextmanager
def two_regions(cluster: Cluster, name: str, *, rtt: float = 0.0, **serve_options: Any) -> Iterator[TwoRegions]:
    """Both regions, on a database that exists, with a node serving it in syd."""
    with ExitStack() as undo:
        parameters = dict(cluster.primary.params(name))
        primary = peewee.PostgresqlDatabase(parameters.pop("dbname"), **parameters)
        primary = fly_orm.wrap(primary, settings=settings("syd"))
        options = {"listen": way.listen(), "settings": settings("syd"), **serve_options}
        serving = undo.enter_context(fly_orm.serve(primary, **options))
        wan = undo.enter_context(way.network(serving.address, rtt=rtt))
        yield TwoRegions(cluster=cluster, name=name, serving=serving, wan=wan, undo=undo)
