"""Regions, and the nodes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Node:
    """An application process that serves requests, at an address of the transport in use."""

    region: str
    address: str
    source: str = field(default="", compare=False, repr=False)
    """The environment variable that lists it, for messages; empty if there is none."""

    def __str__(self) -> str:
        return f"{self.region}={self.address}"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The names of the region of this process and of the primary region.

    They say where things run. Whether a server is the primary or a replica, the server itself says.
    """

    region: str
    primary_region: str | None

    @property
    def is_primary(self) -> bool:
        """Whether this process runs in the primary region. If none is configured, every region is the primary one."""
        return self.primary_region in (None, self.region)


def parse_nodes(name: str, text: str) -> Mapping[str, tuple[Node, ...]]:
    """The nodes of each region, from a text such as ``"syd=[::1]:7654 127.0.0.1:7655, lax=host:7654"``.

    ConfigurationError, in which ``name`` names the text, if it is malformed.
    """
    nodes: dict[str, tuple[Node, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        region, equals, addresses = part.partition("=")
        region = region.strip()
        if not equals or not region or not addresses.split():
            raise ConfigurationError(
                f"{name}: {part!r:.100} is not of the form REGION=ADDRESS [ADDRESS …]; separate regions by commas, "
                "as in 'syd=[::1]:7654 127.0.0.1:7655, lax=10.0.0.7:7654'"
            )
        if region in nodes:
            raise ConfigurationError(f"{name}: region {region!r:.100} appears twice; list its addresses together")
        nodes[region] = tuple(Node(region=region, address=address, source=name) for address in addresses.split())
    return nodes
