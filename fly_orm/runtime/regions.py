"""Which regions there are, which of them is this one, and which nodes they have."""

from __future__ import annotations

import enum

from ..deadline import Deadline
from ..topology import Node
from .runtime import Runtime, current_runtime


class _PrimaryRegion(enum.Enum):
    """Stands for the primary region, whatever its name."""

    PRIMARY = "the primary region"


#: The primary region, as an argument of :func:`nodes` and :func:`fly_orm.call`.
PRIMARY = _PrimaryRegion.PRIMARY
#: A region by its name, or PRIMARY.
Region = str | _PrimaryRegion


def my_region() -> str:
    """The region in which this process runs: ``FLY_REGION``, else ``MY_REGION``, else ``"local"``."""
    return current_runtime().settings.topology.region


def primary_region() -> str:
    """The primary region: ``PRIMARY_REGION``, or this region if that is not set."""
    topology = current_runtime().settings.topology
    return topology.primary_region or topology.region


def is_primary() -> bool:
    """Whether this process runs in the primary region. That is a statement about names, not about its database.

    After a failover the database of this process may be a replica all the same; fly_orm asks the database itself.
    """
    return current_runtime().settings.topology.is_primary


def regions() -> list[str]:
    """The names of this region and of all regions that have nodes, sorted.

    NotDelivered if they cannot be looked up within ``FLY_ORM_RPC_TIMEOUT``.
    """
    runtime = current_runtime()
    return sorted({my_region(), *runtime.forwarder.directory.regions(_deadline(runtime))})


def nodes(region: Region = PRIMARY) -> list[Node]:
    """The nodes of a region, possibly none, whether they can be reached or not.

    NotDelivered if they cannot be looked up within ``FLY_ORM_RPC_TIMEOUT``.
    """
    runtime = current_runtime()
    return runtime.forwarder.directory.nodes(name_of(region), _deadline(runtime))


def name_of(region: Region) -> str:
    """The name of a region."""
    return primary_region() if isinstance(region, _PrimaryRegion) else region


def _deadline(runtime: Runtime) -> Deadline:
    return Deadline.after(runtime.settings.rpc_timeout)
