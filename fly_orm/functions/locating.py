"""Whether the primary is next to this process, whatever the names of the regions say."""

from __future__ import annotations

from collections.abc import Collection

import psycopg2

from ..deadline import Deadline
from ..errors import FlyOrmError
from ..postgres.recovery import is_replica
from ..routing.router import Router, routers
from ..runtime.runtime import Runtime


def is_next_to_primary(runtime: Runtime) -> bool:
    """Whether this process runs in the primary region, and none of its databases has been found to be a replica."""
    topology = runtime.settings.topology
    return topology.is_primary and not any(router.local.at_primary is False for router in direct_here(runtime))


def direct_here(runtime: Runtime) -> list[Router]:
    """The routers of this region's databases that have a name."""
    return [router for router in routers() if router.settings.topology == runtime.settings.topology and router.has_name]


def routed_here(runtime: Runtime) -> list[Router]:
    """The same without those that are next to the primary because the region is."""
    region = runtime.settings.topology.region
    return [
        router
        for router in routers()
        if router.settings.topology.region == region
        and not (router.settings.topology.is_primary and router.local.at_primary is not False)
        and router.has_name
    ]


def seem_primary(databases: Collection[Router]) -> bool:
    """Whether the last connections to those of the databases that are in use have all found a primary."""
    found = {router.local.at_primary for router in databases} - {None}
    return found == {True}


def are_primary(databases: Collection[Router], deadline: Deadline) -> bool:
    """Whether those of the databases that are in use are all primaries now; False if one cannot be asked in time.

    If none is in use yet, all have to be.
    """
    used = [router for router in databases if router.local.at_primary is not None] or databases
    return bool(used) and all(_is_primary(router, deadline) for router in used)


def _is_primary(router: Router, deadline: Deadline) -> bool:
    if router.settings.read_only and not router.settings.topology.is_primary:
        return False
    try:
        connection = router.connect()
        try:
            return not is_replica(connection) and router.primary_check.allows(connection, deadline=deadline)
        finally:
            connection.close()
    except (psycopg2.Error, FlyOrmError):
        return False
