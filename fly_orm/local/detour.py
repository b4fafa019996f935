"""Connections of a secondary region that reach the far primary, because the region's replica cannot be reached."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg2

from ..concurrency.background import BackgroundTask
from ..deadline import now
from ..postgres.recovery import is_replica
from .instance import Instance, read_instance

log = logging.getLogger("fly_orm")

#: Seconds between two attempts to reach the replica again.
RETRY_INTERVAL = 5.0
#: The same, at most, where nothing suggests that there is a replica; each attempt then takes twice as long to come.
LONGEST_INTERVAL = 320.0
#: Seconds after the end of a detour within which another one is not logged, unless a second host has answered: a single
#: address that leads to the primary and to a replica in turn would fill the log.
QUIET_SECONDS = 60.0
#: Seconds after the end of a detour from which on the use of a connection that was opened on the way is logged.
PATIENCE = 60.0


class Detour:
    """Whether the connections of one database lead to the far primary for the time being. Thread-safe.

    While they do, and somebody uses them, an attempt in the background looks now and then whether a replica can be
    reached. Once it can, connections that were opened on the way are *outdated*.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._search = BackgroundTask("fly_orm search for a replica", self._look)
        self._replicas: frozenset[object] = frozenset()
        """Where the replicas listen that were reached before."""
        self._since: float | None = None
        self._ended = self._quiet_until = self._look_at = now()
        self._interval = RETRY_INTERVAL
        self._loud = self._warned = self._misses_replica = False
        self._number = 0

    @property
    def replaces_replica(self) -> bool:
        """Whether connections lead to the far primary although the region has a replica, as far as is known."""
        return self._since is not None and self._misses_replica

    def primary_reached(self, connection: Any, instance: Instance | None, database: str, region: str) -> int:
        """The number of the detour that a new connection is part of.

        It is logged if a second host of the connection string has answered, or a replica was reached before. Otherwise
        the region may have no replica.
        """
        misses_replica = self.misses_replica(connection, instance)
        with self._lock:
            if self._since is None:
                self._loud = is_second_choice(connection) or now() >= self._quiet_until
                self._since, self._warned = now(), False
                self._interval, self._misses_replica = RETRY_INTERVAL, False
                self._look_at = now() + self._interval
            if misses_replica:
                self._interval, self._misses_replica = RETRY_INTERVAL, True
                if self._loud and not self._warned:
                    self._warned = True
                    log.warning(
                        "connections from region %r to %r reach the primary (%s), because the region's replica cannot "
                        "be reached; until it can be reached again, reads leave the region",
                        region,
                        database,
                        instance,
                        extra={
                            "event": "detour_began",
                            "region": region,
                            "database": database,
                            "server": str(instance),
                        },
                    )
            return self._number

    def misses_replica(self, connection: Any, instance: Instance | None) -> bool:
        """Whether a connection to a primary would have led to a replica if that could be reached."""
        replicas = self._replicas
        return is_second_choice(connection) or bool(replicas and _place(instance) not in replicas)

    def replica_reached(self, instance: Instance | None) -> None:
        """Note that a connection has reached a replica, which ends a detour."""
        place = _place(instance)
        if self._since is None and place in self._replicas:
            return
        with self._lock:
            self._replicas |= {place}
            if self._since is not None:
                if self._loud:
                    seconds = now() - self._since
                    log.info(
                        "this region's replica (%s) can be reached again, after %.1f s",
                        instance,
                        seconds,
                        extra={"event": "detour_ended", "server": str(instance), "seconds": seconds},
                    )
                    self._quiet_until = now() + QUIET_SECONDS
                self._since, self._warned = None, False
                self._ended = now()
                self._number += 1

    def is_over(self, number: int | None) -> bool:
        """Whether a detour has ended, so that its connections should be replaced. If not, looks soon whether it has."""
        if number is None:
            return False
        if number != self._number:
            return True
        if now() >= self._look_at:
            with self._lock:
                self._look_at = now() + self._interval
                if not self._misses_replica:
                    self._interval = min(2 * self._interval, LONGEST_INTERVAL)
            self._search.start()
        return False

    def used(self, number: int | None) -> None:
        """Note that a statement runs over a connection that is part of a detour."""
        if self.is_over(number) and not self._warned and now() >= self._ended + PATIENCE:
            self._warned = True
            log.warning(
                "a connection still leads to the primary, although this region's replica could be reached again %.0f s "
                "ago; close connections after use, or let a pool lend them, so that they can be replaced",
                now() - self._ended,
                extra={"event": "detour_outlived", "seconds": now() - self._ended},
            )

    def _look(self) -> None:
        try:
            connection = self._connect()
        except psycopg2.Error:
            return
        try:
            if is_replica(connection):
                self.replica_reached(read_instance(connection))
        except psycopg2.Error:
            pass  # it was lost meanwhile
        finally:
            connection.close()


def is_second_choice(connection: Any) -> bool:
    """Whether a connection to a primary has reached another host than the one that its parameters prefer."""
    parameters, info = connection.info.dsn_parameters, connection.info
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    wanted = parameters.get("target_session_attrs")
    if len(hosts) < 2 or parameters.get("load_balance_hosts") == "random" or wanted in ("primary", "read-write"):
        return False
    ports = (parameters.get("port") or "").split(",")
    first = hosts[0], ports[0] or "5432"
    return wanted == "prefer-standby" or (info.host, str(info.port)) != first


def _place(instance: Instance | None) -> object:
    """Where a server listens; None for servers behind a pooler."""
    return None if instance is None else instance.place
