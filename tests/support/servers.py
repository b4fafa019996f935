"""Three Postgres servers, of which one is the primary, while they crash and fail over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from fly_orm.postgres.libpq import has_input
from fly_orm.testing import Cluster, Server
from tests.support.waiting import until


@dataclass(kw_only=True)
class Servers:
    """A cluster with one more replica, the primary at first being that of the cluster. One thread may use it."""

    cluster: Cluster
    servers: list[Server]
    name: str
    """The database."""
    primary: Server = field(init=False)

    def __post_init__(self) -> None:
        self.primary = self.servers[0]

    @property
    def replicas(self) -> list[Server]:
        """All servers but the primary."""
        return [server for server in self.servers if server is not self.primary]

    def query(self, sql: str) -> Any:
        """The first row that the primary returns."""
        with self.primary.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None

    def wait_for_replicas(self) -> None:
        """Wait until each replica has replayed what the primary has flushed by now."""
        (flushed,) = self.query("SELECT pg_current_wal_flush_lsn()::text")
        for server in self.replicas:
            until(lambda server=server: server.query("SELECT pg_last_wal_replay_lsn() >= %s", flushed))

    def are_streaming(self) -> bool:
        """Whether each replica is connected to the primary, or to one that is."""
        return all(_receiver(server) == "streaming" for server in self.replicas)

    def wait_until_streaming(self) -> None:
        """Wait for that; a replica that goes its own way is rebuilt."""
        try:
            until(self.are_streaming)
        except AssertionError:
            for server in self.replicas:
                if _receiver(server) != "streaming":
                    self.cluster.rebuild(server, self.primary)

    def promote(self, server: Server) -> None:
        """Make a replica the primary; the old one must be gone, or is superseded."""
        assert server.query("SELECT pg_promote(true, 60)")
        self.primary = server


def follow_at_once(server: Server, source: Server | None) -> None:
    """Let a replica that goes on running follow another server, or none."""
    conninfo = source.dsn() if source else ""
    server.query("ALTER SYSTEM SET primary_conninfo = %s", conninfo)
    server.query("SELECT pg_reload_conf()")


@contextmanager
def apply_delay(server: Server, seconds: float) -> Iterator[None]:
    """A block in which a replica replays each commit so many seconds after it happened."""
    server.query("ALTER SYSTEM SET recovery_min_apply_delay = %s", f"{round(seconds * 1000)}ms")
    server.query("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.query("ALTER SYSTEM RESET recovery_min_apply_delay")
        server.query("SELECT pg_reload_conf()")


def crash_replica(server: Server, seconds: Any) -> None:
    """Let a replica crash, come back with less than it had, and take a while to replay the rest.

    ``seconds()`` waits for that while.
    """
    server.query("ALTER SYSTEM SET recovery_min_apply_delay = '1min'")  # takes effect with the next start
    server.kill()
    server.start()
    seconds()
    server.query("ALTER SYSTEM RESET recovery_min_apply_delay")
    server.query("SELECT pg_reload_conf()")


def crash_backend(server: Server) -> None:
    """Let one backend crash: the postmaster ends all connections, recovers the server, and goes on."""
    with suppress(psycopg2.Error):
        victim = server.connect()
        os.kill(victim.get_backend_pid(), signal.SIGKILL)
        until(lambda: has_input(victim))


def _receiver(server: Server) -> Any:
    try:
        return server.query("SELECT status FROM pg_stat_wal_receiver")
    except psycopg2.Error:
        return None
