"""Finds the nodes of each region: the interface for plug-ins, and the two discoveries that ship.

A discovery does not decide which nodes of a region are tried, nor in which order. One that asks a server for them can
build on :class:`Lookup`, which caches the answer and refreshes it in the background; it is part of this interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..deadline import Deadline
from ..settings import Settings
from ..topology import Node
from .lookup import CachePolicy, Lookup, LookupFailed

__all__ = ["CachePolicy", "Discovery", "Lookup", "LookupFailed", "discovery_name"]


class Discovery(Protocol):
    """Knows which nodes each region has. The entry point makes one from the settings. Any thread may call."""

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        """The nodes of a region, in any order; empty if the region has none.

        A discovery that has been asked before may answer at once from a cache. NotDelivered if it does not know by the
        deadline, which does not mean that there are none.
        """
        ...

    def regions(self, deadline: Deadline) -> Sequence[str]:
        """The names of the regions that have nodes. Cached, and raising NotDelivered, as :meth:`nodes`."""
        ...

    def refresh(self, region: str, deadline: Deadline) -> None:
        """Look up the nodes of a region again, and wait for the answer until the deadline.

        With a deadline that has passed, the look-up goes on in the background. Never raises: if the look-up fails, the
        last answer stays in use.
        """
        ...

    def describe(self, region: str) -> str:
        """Where this discovery looks for the nodes of a region and what it last found, for error messages.

        The text follows "looked in".
        """
        ...


def discovery_name(settings: Settings) -> str:
    """The name of the discovery in the settings, or else of the one that fits the other settings."""
    if settings.discovery:
        return settings.discovery
    return "dns" if settings.app and not settings.nodes else "static"
