"""The network between the regions: every connection from one to another has its distance, and can be cut."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from fly_orm.testing import Wan

from .geography import HOME, REGIONS, round_trip

#: Where a link leads before its target runs.
_NOWHERE = "127.0.0.1:1"


@dataclass(kw_only=True)
class Link:
    """A connection that processes of one region can open to something in another region."""

    wan: Wan
    origin: str
    target: str
    is_cut: bool = False

    def set_cut(self, cut: bool) -> None:
        """Drop what is under way and refuse connections, or work again."""
        if cut != self.is_cut:
            (self.wan.cut if cut else self.wan.heal)()
            self.is_cut = cut

    def lead_to(self, region: str, address: str) -> None:
        """Lead to another region. Connections that are open end."""
        self.wan.cut()
        self.wan.lead_to(address)
        self.wan.rtt = round_trip(self.origin, region)
        self.target, self.is_cut = region, True


class Network:
    """All links. One thread at a time."""

    def __init__(self, undo: ExitStack) -> None:
        self.cut_off: set[str] = set()
        """The regions that nothing reaches, and that reach nothing."""

        def link(origin: str, target: str) -> Link:
            wan = undo.enter_context(Wan(_NOWHERE, rtt=round_trip(origin, target)))
            return Link(wan=wan, origin=origin, target=target)

        self._to_nodes = {(origin, target): link(origin, target) for origin in REGIONS for target in REGIONS}
        self._to_primary = {kind: {region: link(region, HOME) for region in REGIONS} for kind in ("stream", "far")}

    def nodes_seen_from(self, region: str) -> str:
        """The value of ``FLY_ORM_NODES`` in a region."""
        return ", ".join(f"{target}={self._to_nodes[region, target].wan.address}" for target in REGIONS)

    def stream(self, region: str) -> str:
        """The address at which a region's server finds the primary to stream from."""
        return self._to_primary["stream"][region].wan.address

    def far(self, region: str) -> str:
        """The address at which an application without fly_orm finds the primary."""
        return self._to_primary["far"][region].wan.address

    def node_is_at(self, region: str, address: str) -> None:
        """Lead to the node of a region, which has been started."""
        for (_, target), link in self._to_nodes.items():
            if target == region:
                link.wan.lead_to(address)

    def primary_is_in(self, region: str, socket: str) -> None:
        """Lead to the primary, which has moved."""
        for links in self._to_primary.values():
            for link in links.values():
                link.lead_to(region, socket)
        self._weather()

    def cut(self, region: str) -> None:
        """Let nothing get into the region or out of it."""
        self.cut_off.add(region)
        self._weather()

    def heal(self, region: str) -> None:
        """Connect the region again."""
        self.cut_off.discard(region)
        self._weather()

    def _weather(self) -> None:
        for links in (self._to_nodes, *self._to_primary.values()):
            for link in links.values():
                crosses = link.origin != link.target
                link.set_cut(crosses and not self.cut_off.isdisjoint({link.origin, link.target}))
