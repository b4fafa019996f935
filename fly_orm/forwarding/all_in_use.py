"""The errors for a node that has no channel for a request now, though nothing is wrong with it."""

from __future__ import annotations

from ..errors import NotDelivered


class AllInUse(NotDelivered):
    """Every channel to a node stayed in use until the deadline. This says nothing against the node itself."""


class NodeFull(AllInUse):
    """A node has no place for another channel, and none of this process is open."""
