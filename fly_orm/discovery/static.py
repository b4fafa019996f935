"""Finds nodes in the settings, which list them."""

from __future__ import annotations

from collections.abc import Sequence

from ..deadline import Deadline
from ..settings import Settings
from ..topology import Node


class StaticDiscovery:
    """The nodes that ``FLY_ORM_NODES`` lists. See :class:`fly_orm.discovery.Discovery`."""

    def __init__(self, settings: Settings) -> None:
        self._nodes = settings.nodes

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        return self._nodes.get(region, ())

    def regions(self, deadline: Deadline) -> Sequence[str]:
        return sorted(self._nodes)

    def refresh(self, region: str, deadline: Deadline) -> None:
        """Do nothing: the settings do not change."""

    def describe(self, region: str) -> str:
        if not self._nodes:
            return "FLY_ORM_NODES, which is not set"
        *others, last = sorted(self._nodes)
        names = f"the regions {', '.join(others)} and {last}" if others else f"the region {last}"
        return f"FLY_ORM_NODES, which names {names}"
