"""A connection to a server that takes writes, while nobody can tell whether it is the primary."""

from __future__ import annotations

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
