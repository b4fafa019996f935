"""Logs, when a process starts, one line about its surroundings and a warning for each mistake in its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from psycopg2 import extensions as ext

from ..discovery import discovery_name
from ..findings.finding import Finding, Level
from ..findings.regions import region_findings
from ..findings.server import version_text
from ..findings.settings import listening_findings
from ..findings.version import VERSION
from ..postgres.connecting import server_name
from ..registry import make_transport
from ..settings import Settings
from .environment import environment_findings

log = logging.getLogger("fly_orm")


class Announcer:
    """Logs each finding about the settings of a process once, without network access. Thread-safe and fork-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logged: dict[str, object] = {}

    def database(self, connection: ext.connection) -> None:
        """Log which server the first connection to a database has reached."""
        name = connection.info.dbname
        if self._is_new(name):
            server = f"{name!r} is on the {server_text(connection)}"
            log.info(
                "fly_orm %s %s: %s; %s",
                VERSION,
                self._place().removesuffix(","),
                server,
                self._ways(),
                extra={"event": "process_started", "version": VERSION},
            )
            self._warn()

    def node(self, address: str, servers: Sequence[str]) -> None:
        """Log where a node serves, and the servers of its databases, which are given in words."""
        log.info(
            "fly_orm %s %s serves at %s: %s",
            VERSION,
            self._place(),
            address,
            ", ".join(servers),
            extra={"event": "node_started", "version": VERSION, "address": address},
        )
        self._warn(address)

    def _warn(self, serves_at: str | None = None) -> None:
        for finding in self._findings(serves_at):
            if finding.level > Level.OK and self._is_new(str(finding)):
                has_expired = finding.level is Level.ERROR and finding.topic == "tls"  # no channel can be opened
                log.log(
                    logging.ERROR if has_expired else logging.WARNING,
                    "%s (run `fly-orm check` for details)",
                    finding,
                    extra={"event": "finding", "problem": str(finding)},
                )

    def _findings(self, serves_at: str | None) -> list[Finding]:
        settings = self._settings
        is_local: Callable[[str], bool] = self._is_local
        if serves_at is None and settings.topology.primary_region is None:
            is_local = _everything_is  # this process neither serves nor sends anything
        nodes = sorted(settings.nodes) if discovery_name(settings) == "static" else None
        return [
            *environment_findings(settings, is_local),
            *region_findings(settings.topology, nodes),
            *([] if serves_at is None else listening_findings(settings, serves_at, is_local)),
        ]

    def _is_local(self, address: str) -> bool:
        # Made only for this: most processes in the primary region need no transport, which takes long to import.
        return make_transport(self._settings.transport, self._settings).is_local(address)

    def _place(self) -> str:
        topology = self._settings.topology
        if topology.primary_region is None:
            return f"in region {topology.region!r}, the only one (PRIMARY_REGION is not set),"
        if topology.is_primary:
            return f"in region {topology.region!r}, the primary region,"
        return f"in region {topology.region!r} (the primary region is {topology.primary_region!r})"

    def _ways(self) -> str:
        settings = self._settings
        listed = " ".join(str(node) for nodes in settings.nodes.values() for node in nodes)
        found = discovery_name(settings)
        nodes = (listed or "none") if found == "static" else f"found by {found}"
        return f"nodes: {nodes}; waiter: {settings.waiter}"

    def _is_new(self, text: str) -> bool:
        mine = object()
        return self._logged.setdefault(text, mine) is mine


def _everything_is(_address: str) -> bool:
    return True


def server_text(connection: ext.connection) -> str:
    """The server that a connection has reached, in words, without asking it."""
    kind = {"on": "replica", "off": "primary"}.get(connection.get_parameter_status("in_hot_standby") or "", "server")
    info = connection.info
    return f"{kind} {server_name(info.host, info.port)}, PostgreSQL {version_text(connection.server_version)}"
