"""A connection to a server that takes writes, while nobody can tell whether it is the primary."""

from __future__ import annotations

from ..local.instance import Instance, ask_instance
from ..sessions.served import Route
from .read_only import ReadOnlyConnection


class UncheckedConnection(ReadOnlyConnection):
    """A connection whose reads run on its server, and whose writes go to a node.

    Nothing is known about what the server shows, so sessions that have written read on the primary. The application's
    next connection is checked again; see :class:`fly_orm.routing.primary_check.PrimaryCheck`.
    """

    unprotected = (
        "no node can tell whether this server is the primary, and it does not report {setting}, so that it cannot be "
        "kept from being written by mistake. Nothing was executed. Start the nodes of the primary region, or connect "
        "to PostgreSQL 14 or newer without a connection pooler in between"
    )

    run: str
    """The run of the server, by which the nodes' answers are found."""
    detour: int | None = None
    """The detour that the connection is part of; see :class:`fly_orm.local.detour.Detour`."""

    def _note_server(self, instance: Instance | None) -> None:
        reached, local = self.instance or ask_instance(self), self.router.local
        self.run = reached.run
        super()._note_server(instance)
        name, region = self.router.name, self.router.settings.topology.region
        self.detour = local.detour.primary_reached(self, reached, name, region)
        if local.detour.misses_replica(self, reached):
            self._serve_as(local.served_by(reached, Route.PRIMARY))
