"""The Postgres servers: one in each region, of which one is the primary."""

from __future__ import annotations

from fly_orm.testing import Cluster, Server

from .geography import HOME, REGIONS
from .network import Network

DATABASE = "guestbook"


class Servers:
    """The servers by region. One thread at a time."""

    def __init__(self, cluster: Cluster, network: Network) -> None:
        self.primary = HOME
        """The region of the primary."""
        self._cluster = cluster
        self._network = network
        self.by_region = dict(zip(REGIONS, (cluster.primary, cluster.replica, cluster.add_replica()), strict=True))
        cluster.create_database(DATABASE)
        cluster.wait_for_replica(*self._replicas())
        network.primary_is_in(HOME, _socket(cluster.primary))
        for region in REGIONS:
            if region != HOME:
                self._stream(region)

    def url(self, region: str) -> str:
        """The address of the database, for an application in that region."""
        server = self.by_region[region]
        return f"postgresql+pool://postgres@/{DATABASE}?host={server.host}&port={server.port}"

    def far_url(self, region: str) -> str:
        """The address of the database on the primary, over the network."""
        return f"postgresql+pool://postgres@{self._network.far(region)}/{DATABASE}"

    def is_paused(self, region: str) -> bool:
        """Whether a replica does not show what it receives."""
        return region != self.primary and bool(self.by_region[region].query("SELECT pg_is_wal_replay_paused()"))

    def pause(self, region: str) -> None:
        """Let a replica receive what is committed, but not show it."""
        self._cluster.pause_replay(self.by_region[region])

    def resume(self, region: str) -> None:
        """Let the replica catch up."""
        self._cluster.resume_replay(self.by_region[region])

    def promote(self, region: str) -> None:
        """Stop the primary, promote the replica of a region, and let the other servers follow it."""
        old, new = self.by_region[self.primary], self.by_region[region]
        old.stop()
        if not new.query("SELECT pg_promote(true, 60)"):
            raise TimeoutError(f"the server in {region} was not promoted; see {new.log}")
        old_region, self.primary = self.primary, region
        self._network.primary_is_in(region, _socket(new))
        self._cluster.rebuild(old, new)
        self._stream(old_region)

    def catch_up(self) -> None:
        """Wait until all replicas show what is committed."""
        self._cluster.wait_for_replica(*self._replicas())

    def _replicas(self) -> list[Server]:
        return [server for region, server in self.by_region.items() if region != self.primary]

    def _stream(self, region: str) -> None:
        """Let the replica of a region stream over the network."""
        host, _, port = self._network.stream(region).rpartition(":")
        server = self.by_region[region]
        server.query("ALTER SYSTEM SET primary_conninfo = %s", f"host={host} port={port} user=postgres")
        server.query("SELECT pg_reload_conf()")


def _socket(server: Server) -> str:
    return f"{server.host}/.s.PGSQL.{server.port}"
