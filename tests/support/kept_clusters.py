"""A cluster that each test of a module leaves to the next one, unless it has changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fly_orm.testing import Cluster


class KeptCluster:
    """A cluster that is started again if a test has promoted, stopped or added a server."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None

    @contextmanager
    def lent(self, prepare: Callable[[Cluster], None], database: str) -> Iterator[Cluster]:
        """A block with the cluster. ``prepare`` makes the database, which is dropped at the end."""
        if self._cluster is None:
            self._cluster = Cluster.start()
        cluster = self._cluster
        prepare(cluster)
        yield cluster
        if _is_unchanged(cluster):
            cluster.drop_database(database)
        else:
            self.close()

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def _is_unchanged(cluster: Cluster) -> bool:
    """Whether there still are a primary and a replica on the first timeline, and no further server."""
    servers = (cluster.primary, cluster.replica)
    if cluster._others or not all(server.running for server in servers):
        return False
    roles = [server.query("SELECT pg_is_in_recovery()") for server in servers]
    return roles == [False, True] and cluster.primary.query("SELECT timeline_id FROM pg_control_checkpoint()") == 1
