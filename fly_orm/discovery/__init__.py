"""The interface that finds the nodes of a region. A plug-in implements these few methods and nothing else.

A discovery does not decide which nodes of a region are tried, nor in which order. One that asks a server for them can
build on :class:`Lookup`, which caches the answer and refreshes it in the background; it is part of this interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..deadline import Deadline
from ..settings import Settings
from ..topology import Node
from .lookup import Lookup, LookupFailed, Pace

__all__ = ["Discovery", "Lookup", "LookupFailed", "Pace", "chosen"]


class Discovery(Protocol):
    """Knows which nodes a region has. Made from the settings, by the entry point. Any thread may call."""

    def nodes(self, region: str, deadline: Deadline) -> Sequence[Node]:
        """The nodes of a region, which may be none; at once if they were asked for before, and then a little old.

        NotDelivered if that cannot be told by the deadline, which says nothing about whether there are any.
        """
        ...

    def regions(self, deadline: Deadline) -> Sequence[str]:
        """The names of the regions that have nodes; otherwise as :meth:`nodes`."""
        ...

    def refresh(self, region: str, deadline: Deadline) -> None:
        """Look the nodes of a region up afresh, and wait for that until the deadline; 0 leaves it to the background.

        Never raises: what was known stays known if it fails.
        """
        ...

    def describe(self, region: str) -> str:
        """Where the nodes of a region are looked for, and what was found there last."""
        ...


def chosen(settings: Settings) -> str:
    """The name of the discovery that the settings ask for, or that goes with what else they say."""
    if settings.discovery:
        return settings.discovery
    return "dns" if settings.app and not settings.nodes else "static"
