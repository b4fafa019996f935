"""What the sessions of a local server begin with, which those that serve them on the primary have to share."""

from __future__ import annotations

from typing import Any

import psycopg2.errors
from psycopg2 import extensions as ext

from ..postgres.starting import ASSIGNED_VERSION, Start, read_assigned, requested
from .instance import Instance, read_instance_and

ISOLATION = "default_transaction_isolation"
SERIALIZABLE = "serializable"
_MOST_REMEMBERED = 64


class Starts:
    """What ALTER ROLE and ALTER DATABASE … SET give to sessions, asked for once until that changes. Thread-safe."""

    def __init__(self) -> None:
        self._assigned: dict[tuple[str, ...], dict[str, str]] = {}

    def begin(self, connection: Any) -> tuple[Instance | None, Start]:
        """The server that a new connection in autocommit has reached, and what its session has begun with."""
        lowered = False
        columns = "session_user::text", ASSIGNED_VERSION, "pg_catalog.current_setting('role')"
        try:
            instance, (role, version, current) = read_instance_and(connection, *columns)
        except psycopg2.errors.FeatureNotSupported:
            lower_isolation(connection)
            lowered = True
            instance, (role, version, current) = read_instance_and(connection, *columns)
        # A membership can have changed since: the role that the session has tells whether Postgres has accepted it.
        assigned = self._read_assigned(connection, str(role), str(version), str(current))
        settings = assigned | requested(connection.info.dsn_parameters)
        if settings.get("role") != current:
            settings.pop("role", None)
        if lowered:
            settings[ISOLATION] = SERIALIZABLE
        return instance, Start(str(role), settings)

    def _read_assigned(self, connection: Any, role: str, *state: str) -> dict[str, str]:
        key = connection.info.dbname, role, *state
        known = self._assigned.get(key)
        if known is None:
            known = read_assigned(connection)
            if len(self._assigned) >= _MOST_REMEMBERED:
                self._assigned.clear()
            self._assigned[key] = known
        return known


def lower_isolation(connection: Any) -> None:
    """Let a session on a replica answer whose transactions are SERIALIZABLE by default: no replica accepts that."""
    with ext.cursor(connection) as cursor:  # not one that routes
        cursor.execute(f"SET {ISOLATION} TO 'repeatable read'")


def fit_for_replica(connection: Any) -> Any:
    """A connection of fly_orm's own in autocommit, which answers even if it has reached a replica."""
    if connection.get_parameter_status("in_hot_standby") != "off":
        try:
            with ext.cursor(connection) as cursor:
                cursor.execute("SELECT")
        except psycopg2.errors.FeatureNotSupported:
            lower_isolation(connection)
    return connection
