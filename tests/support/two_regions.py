"""Two regions for a test: ``syd`` with the primary and a serving node, ``lax`` with the replica, a network between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import peewee

import fly_orm
from fly_orm.protocol.secret import Secrets
from fly_orm.settings import Settings
from fly_orm.testing import Cluster, Wan
from fly_orm.topology import Node, Topology

SECRET = "xIxjGWi3hd8PWpVySFBVgBbaIAnl2sjNuEfUFlq0oTs"
SECRETS = Secrets(SECRET)
OTHER_SECRET = "f2yU7nQ0bV4xJ9kL1mZ6tR8wC3sD5gH0aPqEoIuYtNs"
#: Seconds within which a busy machine does anything that no fault holds up.
AMPLE = 15.0
#: Seconds in which a busy machine connects a process to a node; callers wait for two.
CONNECT_TIMEOUT = 6.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """How messages get from lax to syd: here over TCP, straight to a node on this machine."""

    transport: str = Settings.transport

    def settings(self) -> dict[str, Any]:
        """What the settings of every process have to say about it."""
        return {"transport": self.transport}

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
    timeouts = {"rpc_timeout": AMPLE, "replication_timeout": AMPLE}
    given = {"secret": SECRET, "nodes": nodes, **timeouts, **way.settings(), **changes}
    return Settings(topology=Topology(region=region, primary_region="syd"), **given)


@dataclass(kw_only=True)
class Regions:
    """The databases of one name, on the primary in ``syd`` and on the replica in ``lax``."""

    cluster: Cluster
    name: str
    undo: ExitStack = field(repr=False)

    def unwrapped(self, server: Any, cls: type = peewee.PostgresqlDatabase, **parameters: Any) -> Any:
        """A database on any server, closed at the end. ``startup`` are the command-line options of its sessions."""
        given = {"options" if name == "startup" else name: value for name, value in parameters.items()}
        database = cls(**{**named(server, self.name), **given})
        self.undo.callback(close, database)
        return database

    def plain(self, cls: type = peewee.PostgresqlDatabase, **parameters: Any) -> Any:
        """An unwrapped database on the primary."""
        return self.unwrapped(self.cluster.primary, cls, **parameters)

    def lax(self, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A wrapped database on the replica."""
        return self.on(self.cluster.replica, cls, options=options, **parameters)

    def on(self, server: Any, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A database on any server, wrapped as in lax unless the options of wrap() say otherwise."""
        database = self.unwrapped(server, cls, **parameters)
        return fly_orm.wrap(database, **{"settings": self.lax_settings(), **(options or {})})

    def syd(self, cls: type = peewee.PostgresqlDatabase, *, options: Any = None, **parameters: Any) -> Any:
        """A wrapped database on the primary."""
        return self.on(
            self.cluster.primary, cls, options={"settings": settings("syd"), **(options or {})}, **parameters
        )

    def lax_settings(self, **changes: Any) -> Settings:
        """The settings of a process in lax."""
        return settings("lax", **changes)

    def query(self, sql: str) -> Any:
        """The first column of the first row that the primary returns."""
        with self.cluster.primary.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None


@dataclass(kw_only=True)
class TwoRegions(Regions):
    """Databases in both regions, a node that serves in syd, and what lies between."""

    serving: fly_orm.Serving
    wan: Wan

    def lax_settings(self, **changes: Any) -> Settings:
        return settings("lax", self.wan.address, **changes)


def trips(regions: TwoRegions, work: Callable[[], Any]) -> int:
    """How many round trips the work takes, where no channels are opened ahead of need."""
    before = regions.wan.round_trips
    work()
    return regions.wan.round_trips - before


def named(server: Any, name: str) -> dict[str, Any]:
    """The parameters of a database on a server, by the names that peewee and Pony have for them."""
    given = dict(server.params(name))
    return {"database": given.pop("dbname"), **given}


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
def two_regions(
    cluster: Cluster, name: str, *, rtt: float = 0.0, node: Mapping[str, Any] = {}, **serve_options: Any
) -> Iterator[TwoRegions]:
    """Both regions, on a database that exists, with a node in syd, whose database object has these parameters."""
    with ExitStack() as undo:
        primary = fly_orm.wrap(
            peewee.PostgresqlDatabase(**{**named(cluster.primary, name), **node}), settings=settings("syd")
        )
        options = {"listen": way.listen(), "settings": settings("syd"), **serve_options}
        serving = undo.enter_context(fly_orm.serve(primary, **options))
        wan = undo.enter_context(way.network(serving.address, rtt=rtt))
        yield TwoRegions(cluster=cluster, name=name, serving=serving, wan=wan, undo=undo)
