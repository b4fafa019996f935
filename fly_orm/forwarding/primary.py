"""What is known of the way to the primary of one database."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..deadline import Deadline, now
from ..topology import Node
from .directory import Directory
from .failures import Failures
from .fence import Fence
from .interruption import Interruption
from .primary_region import PrimaryRegion
from .return_check import ReturnCheck

#: Seconds for which requests go to the nodes that were found last, while nothing is amiss. Then they are looked up.
USUAL_SECONDS = 1.0


class Primary:
    """The region that has the primary, the nodes to try first, and whether requests are accepted. Thread-safe."""

    def __init__(self, directory: Directory, region: PrimaryRegion, interruption: Interruption, fence: Fence) -> None:
        self.region = region
        self.interruption = interruption
        self._directory = directory
        self._return_check = ReturnCheck(directory, region, fence)
        self._nodes: Sequence[Node] = ()
        self._usual_until = 0.0

    @property
    def usual(self) -> Sequence[Node]:
        """The node to try before all others, without looking them up; empty if anything is not as it mostly is."""
        if now() >= self._usual_until or self.interruption.is_on or not self.region.is_usual:
            return ()
        nodes = self._nodes
        if away := self._directory.quarantined:
            nodes = tuple(node for node in nodes if node not in away)
            if not nodes:
                return ()
        return nodes if len(nodes) == 1 else (random.choice(nodes),)  # noqa: S311  # shares the callers out

    def accepted(self, node: Node, failures: Failures) -> None:
        """Note that a node has accepted a request, after these failures elsewhere."""
        self.interruption.accepted()
        self.region.accepted(node.region, failures)
        self._return_check.request_sent()
        if self.region.is_usual and not failures.errors:
            self._nodes = tuple(self._directory.nodes(node.region, Deadline.after(0)))
            self._usual_until = now() + USUAL_SECONDS if self._nodes else 0.0
