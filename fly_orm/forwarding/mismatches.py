"""Whether the settings of a node fit those of this process, as far as the node tells when a channel is opened."""

from __future__ import annotations

import logging
import threading

from ..protocol.messages import Welcome
from ..topology import Node, Topology

log = logging.getLogger("fly_orm")


class Mismatches:
    """Logs a warning for each way in which nodes are configured differently, once. Thread-safe."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._lock = threading.Lock()
        self._logged: set[object] = set()

    def check(self, node: Node, welcome: Welcome) -> None:
        """Compare what a node says about itself with what this process believes."""
        own, theirs = self._topology.primary_region or "", welcome.primary_region
        if welcome.region != node.region and self._is_new((node, welcome.region)):
            log.warning(
                "the node at %s is listed in region %r, but runs in region %r: correct the list, or FLY_REGION there",
                node.address,
                node.region,
                welcome.region,
                extra={
                    "event": "region_mismatch",
                    "address": node.address,
                    "listed_region": node.region,
                    "region": welcome.region,
                },
            )
        if theirs not in (None, own) and self._is_new(theirs):
            log.warning(
                "PRIMARY_REGION %s in this process, which runs in region %r, but %s on %s: set the same one everywhere",
                _value(own),
                self._topology.region,
                _value(theirs),
                node,
                extra={"event": "primary_region_mismatch", "node": str(node)},
            )

    def _is_new(self, what: object) -> bool:
        with self._lock:
            known = what in self._logged
            self._logged.add(what)
            return not known


def _value(region: str | None) -> str:
    return f"is {region!r}" if region else "is not set"
