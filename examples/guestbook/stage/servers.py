"""The Postgres servers: one in each region, of which one is the primary."""

from __future__ import annotations

from time import sleep

import psycopg2

from fly_orm.deadline import Deadline
from fly_orm.testing import Cluster, Server

from .geography import HOME, REGIONS
from .network import Network

DATABASE = "guestbook"
DOWN = "down"
#: Seconds. The children of a server that has crashed end soon; until then, it cannot be started.
START_TIMEOUT = 20.0
_RETRY = 0.2
#: How long a request waits for a connection while others have all of them.
_POOL = "&timeout=10"

_STATE = """
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'primary' WHEN pg_is_wal_replay_paused() THEN 'paused replica'
    ELSE 'replica' END
"""


class Servers:
    """The servers by region. One thread at a time."""

    def __init__(self, cluster: Cluster, network: Network) -> None:
        self.primary = HOME
        """The region of the primary."""
        self._cluster = cluster
        self._network = network
        self.by_region = dict(zip(REGIONS, (cluster.primary, cluster.replica, cluster.add_replica()), strict=True))
        self._to_rebuild: set[str] = set()
        """The regions whose servers may have what the primary does not have."""
        cluster.create_database(DATABASE)
        cluster.wait_for_replica(*self._replicas())
        network.primary_is_in(HOME, _socket(cluster.primary))
        for region in REGIONS:
            if region != HOME:
                self._stream(region)

    def url(self, region: str) -> str:
        """The address of the database, for an application in that region."""
        server = self.by_region[region]
        return f"postgresql+pool://postgres@/{DATABASE}?host={server.host}&port={server.port}{_POOL}"

    def far_url(self, region: str) -> str:
        """The address of the database on the primary, over the network."""
        return f"postgresql+pool://postgres@{self._network.far(region)}/{DATABASE}?{_POOL}"

    def state(self, region: str) -> str:
        """What the server of a region is: ``primary``, ``replica``, ``paused replica``, or ``down``."""
        try:
            return str(self.by_region[region].query(_STATE))
        except psycopg2.Error:
            return DOWN

    def start(self, region: str) -> None:
        """Start the server of a region, which has crashed."""
        if region in self._to_rebuild:
            return self._rebuild(region)
        deadline = Deadline.after(START_TIMEOUT)
        while True:
            try:
                return self.by_region[region].start()
            except RuntimeError:
                if deadline.expired:
                    raise
                sleep(_RETRY)

    def pause(self, region: str) -> None:
        """Let a replica receive what is committed, but not show it."""
        self._cluster.pause_replay(self.by_region[region])

    def resume(self, region: str) -> None:
        """Let the replica catch up."""
        self._cluster.resume_replay(self.by_region[region])

    def promote(self, region: str) -> None:
        """Stop the primary, promote the replica of a region, and let the other servers follow it.

        RuntimeError if the replica is down; then the primary goes on.
        """
        old, new = self.primary, self.by_region[region]
        if _received(new) is None:
            raise RuntimeError(f"the server in {region} is down; start it first")
        self.by_region[old].stop()
        received = {each: _received(server) for each, server in self.by_region.items() if each != old}
        if not new.query("SELECT pg_promote(true, 60)"):
            raise TimeoutError(f"the server in {region} was not promoted; see {new.log}")
        self.primary = region
        self._network.primary_is_in(region, _socket(new))
        down = {each for each, size in received.items() if size is None}
        ahead = {each for each, size in received.items() if (size or 0) > (received[region] or 0)}
        self._to_rebuild |= {old} | ahead | down
        for each in self._to_rebuild - down:
            self._rebuild(each)

    def catch_up(self) -> None:
        """Wait until all replicas show what is committed."""
        self._cluster.wait_for_replica(*self._replicas())

    def _replicas(self) -> list[Server]:
        return [server for region, server in self.by_region.items() if region != self.primary]

    def _rebuild(self, region: str) -> None:
        """Replace what a server has with what the primary has, and let it stream from there."""
        self._cluster.rebuild(self.by_region[region], self.by_region[self.primary])
        self._to_rebuild.discard(region)
        self._stream(region)

    def _stream(self, region: str) -> None:
        """Let the replica of a region stream over the network."""
        host, _, port = self._network.stream(region).rpartition(":")
        server = self.by_region[region]
        server.query("ALTER SYSTEM SET primary_conninfo = %s", f"host={host} port={port} user=postgres")
        server.query("SELECT pg_reload_conf()")


def _received(server: Server) -> int | None:
    """How many bytes of WAL a replica has; None if it is down."""
    try:
        return int(server.query("SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"))
    except psycopg2.Error:
        return None


def _socket(server: Server) -> str:
    return f"{server.host}/.s.PGSQL.{server.port}"
