"""A node's response to a request, and what it means if the node declined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import NotPrimary, Refused
from ..protocol.messages import Declined
from ..topology import Node

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Response(Generic[R]):
    """A reply, and where it came from."""

    reply: R
    node: Node
    elapsed: float
    """Seconds between sending the request and receiving the reply."""


def refused(declined: Declined, node: Node) -> Refused:
    """The exception for a request that a node declined before executing anything."""
    if declined.reason == NotPrimary.reason:
        return NotPrimary(f"{node}: {declined.message}", node=str(node), superseded=declined.superseded)
    return Refused(f"{node}: {declined.message}", node=str(node), reason=declined.reason)
