"""An application in two regions: the primary and a node in one, replicas in the other, and a network between them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from fly_orm.errors import ConfigurationError

from . import assertions
from .cluster import Cluster
from .environment import inherited, url
from .hindrance import holders, is_paused
from .node import NodeProcess
from .round_robin import RoundRobin
from .server import USER
from .tables import LOCK_TIMEOUT, truncate_all
from .wan import Wan

#: The regions of the primary, and of the replicas.
SYD, LAX = "syd", "lax"
#: What a node serves if it is given nothing else.
SERVED = "fly_orm.testing.served:db"

#: Seconds within which replicas that nothing holds up have replayed a reset.
SOON = 0.5

#: So that servers tell which commit they have seen last.
_SETTINGS = {"track_commit_timestamp": "on"}

Database = TypeVar("Database")


class TwoRegions:
    """``syd`` with the primary and a node, ``lax`` with one or several replicas, and a network between them.

    The node is a process of its own. This process plays another one in ``lax``, with the variables of
    :meth:`environment`; :meth:`wrap` makes it one in either region. One thread at a time.
    """

    def __init__(
        self,
        *databases: str,
        name: str = "test",
        rtt: float = 0.0,
        replicas: int = 1,
        variable: str = "DATABASE_URL",
        folder: Path | None = None,
    ) -> None:
        """Start everything, which takes some seconds. It disappears with this process, if it is not closed before.

        databases: what the node serves, as ``fly-orm serve`` is given it, such as ``shop.app:db``. If there are none,
        it only executes statements.
        name: the database on the servers, which is empty.
        rtt: seconds that a round trip takes between the regions, 0 or more.
        replicas: how many of them the address in ``lax`` leads to.
        variable: the environment variable that tells the application its database's URL.
        folder: where the node runs, and finds the application; None is the current one.

        PostgresNotFound if no PostgreSQL is installed, RuntimeError if a server or the node does not start.
        """
        if replicas < 1:
            raise ConfigurationError(f"there must be at least one replica, not {replicas}")
        self._name = name
        self._is_cut = False
        self._variable = variable
        self._variables = {"PRIMARY_REGION": SYD, "FLY_ORM_SECRET": secrets.token_urlsafe(32)}
        with ExitStack() as undo:
            self.cluster = undo.enter_context(Cluster.start(replication_rtt=rtt, settings=_SETTINGS))
            """The Postgres servers."""
            self.cluster.create_database(name)
            self.replicas = [self.cluster.replica, *(self.cluster.add_replica() for _ in range(replicas - 1))]
            """The replicas in ``lax``."""
            self._reader = undo.enter_context(RoundRobin(*self.replicas)) if replicas > 1 else None
            self.node = NodeProcess(
                databases or (SERVED,),
                environment={**inherited(), "DATABASE_URL": url(self.parameters(SYD)), **self.environment(SYD)},
                folder=folder or Path.cwd(),
                log=self.cluster.primary.log.with_name("node.log"),
            )
            """The process that serves in ``syd``."""
            undo.callback(self.node.stop)
            self.wan = undo.enter_context(Wan(self.node.start(), rtt=rtt))
            """The network between ``lax`` and the node."""
            self.cluster.wait_for_replica(*self.replicas)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Stop everything. Does nothing the second time."""
        self._undo.close()

    def __enter__(self) -> TwoRegions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def environment(self, region: str = LAX) -> dict[str, str]:
        """The variables of a process of the application in ``lax`` or ``syd``."""
        where = {"FLY_REGION": region, self._variable: url(self.parameters(region))}
        there = {"FLY_ORM_NODES": f"{SYD}={self.wan.address}"} if region == LAX else {}
        return {**self._variables, **where, **there}

    def parameters(self, region: str = LAX) -> dict[str, str | int]:
        """The keyword arguments with which ``psycopg2.connect`` reaches the database in ``lax`` or ``syd``."""
        if region == SYD:
            return self.cluster.primary.params(self._name)
        if region != LAX:
            raise ValueError(f"there are two regions, {SYD!r} and {LAX!r}, but not {region!r}")
        if self._reader is None:
            return self.cluster.replica.params(self._name)
        return {**self._reader.parameters, "user": USER, "dbname": self._name}

    def wrap(self, database: Database, region: str = LAX, **options: object) -> Database:
        """Wrap a database object of any ORM that has an adapter, as a process in a region does it, and return it.

        ``options`` are those of :func:`fly_orm.wrap`.
        """
        import fly_orm

        settings = fly_orm.Settings.from_environment(self.environment(region))
        return fly_orm.wrap(database, settings=settings, **options)  # type: ignore[arg-type]

    @property
    def rtt(self) -> float:
        """Seconds that a round trip takes between the regions, on all ways. A change applies to what is sent then."""
        return self.wan.rtt

    @rtt.setter
    def rtt(self, seconds: float) -> None:
        self.wan.rtt = seconds
        if self.cluster.replication_link is not None:
            self.cluster.replication_link.rtt = seconds

    def late_replica(self, seconds: float | None = None) -> AbstractContextManager[object]:
        """A block in which the replicas replay each commit so many seconds late; None is nothing at all.

        Such blocks can stand inside of each other: each ends what it has begun.
        """
        if seconds is None:
            return self.cluster.replay_paused(*self.replicas)
        return self.cluster.apply_delay(seconds, *self.replicas)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """A block in which nothing gets from one region to the other. Then the replicas catch up.

        Inside of another such block, it does nothing.
        """
        if self._is_cut:
            yield
            return
        links = [link for link in (self.wan, self.cluster.replication_link) if link is not None]
        self._is_cut = True
        for link in links:
            link.cut()
        try:
            yield
        finally:
            self._is_cut = False
            for link in links:
                link.heal()
            self._catch_up()

    def restart_node(self) -> None:
        """Stop the node, if it runs, and start it. It has another address then, to which the network leads."""
        self.node.stop()
        self.wan.lead_to(self.node.start())

    def reset(self, *keep: str) -> None:
        """Empty all tables but those named ``keep``, on all servers. Sequences begin again.

        This includes the tables of databases that ``cluster.create_database()`` has added, but not of ``postgres``.

        RuntimeError, which names it, if a test has left something behind that prevents this: a server that is stopped,
        a replica whose replay is paused, as inside of :meth:`late_replica`, or an open transaction.
        """
        for server in (self.cluster.primary, *self.replicas):
            if not server.running:
                raise RuntimeError(f"the tables cannot be emptied: the {server.name} is stopped, until its start()")
        truncate_all(self.cluster.primary, self._name, frozenset(keep))
        self._wait_for_reset()

    def _wait_for_reset(self) -> None:
        """Wait for the replicas, and look for what holds them up only if that takes unusually long."""
        with suppress(TimeoutError):
            self.cluster.wait_for_replica(*self.replicas, timeout=SOON)
            return
        for server in self.replicas:
            if is_paused(server):
                raise RuntimeError(
                    f"the tables cannot be emptied: replay of the {server.name} is paused, by late_replica() or until "
                    "cluster.resume_replay()"
                )
        with suppress(TimeoutError):
            self.cluster.wait_for_replica(*self.replicas, timeout=LOCK_TIMEOUT)
            return
        for server in self.replicas:
            if found := holders(server):
                raise RuntimeError(
                    f"the tables could not be emptied on the {server.name} within {LOCK_TIMEOUT} s, since a test has "
                    f"left a transaction open: {found}"
                )
        self.cluster.wait_for_replica(*self.replicas)

    def _catch_up(self) -> None:
        """Wait for the replicas that can replay something."""
        if self.cluster.primary.running:
            able = [server for server in self.replicas if server.running and not is_paused(server)]
            if able:
                self.cluster.wait_for_replica(*able)

    def assert_round_trips(self, number: int) -> AbstractContextManager[None]:
        """A block that raises AssertionError unless it takes exactly so many round trips between the regions."""
        return assertions.round_trips(number)

    def assert_local(self) -> AbstractContextManager[None]:
        """A block that raises AssertionError unless everything in it is served by this process's own region."""
        return assertions.local()

    def assert_fresh(self) -> AbstractContextManager[None]:
        """A block that raises AssertionError if a read in it is served by a replica that is behind, or may be.

        That is one which shows, when the read is over, less than had been committed when it began, by whomever. Use it
        inside of :meth:`late_replica`: replicas that nothing holds up are seldom behind. While the primary is stopped,
        nobody can tell, and a read on a replica raises AssertionError, too.
        """
        return assertions.fresh(self.cluster.primary, self.replicas)
