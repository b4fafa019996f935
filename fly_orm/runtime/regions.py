"""What a process can ask about regions and the nodes in them."""

from __future__ import annotations

import enum

from ..deadline import Deadline
from ..topology import Node
from .runtime import Runtime, current_runtime


class _PrimaryRegion(enum.Enum):
    """The primary region, whatever its name: where :func:`fly_orm.call` runs a function, say."""

    PRIMARY = "the primary region"


PRIMARY = _PrimaryRegion.PRIMARY
Region = str | _PrimaryRegion


def my_region() -> str:
    """The region that this process runs in: ``FLY_REGION``, else ``MY_REGION``, else ``local``."""
    return current_runtime().settings.topology.region


def primary_region() -> str:
    """The primary region: ``PRIMARY_REGION``, or this one where none is set."""
    topology = current_runtime().settings.topology
    return topology.primary_region or topology.region


def is_primary() -> bool:
    """Whether this process runs in the primary region, by name; its database may know better."""
    return current_runtime().settings.topology.is_primary


def regions() -> list[str]:
    """The names of the regions in which there are nodes, and of this one, sorted.

    NotDelivered if they have to be looked up and cannot be.
    """
    runtime = current_runtime()
    return sorted({my_region(), *runtime.forwarder.directory.regions(_deadline(runtime))})


def nodes(region: Region = PRIMARY) -> list[Node]:
    """The nodes of a region that are known, whether they can be reached or not."""
    runtime = current_runtime()
    return runtime.forwarder.directory.nodes(name_of(region), _deadline(runtime))


def name_of(region: Region) -> str:
    """The region's name."""
    return primary_region() if isinstance(region, _PrimaryRegion) else region


def _deadline(runtime: Runtime) -> Deadline:
    return Deadline.after(runtime.settings.rpc_timeout)
