"""How a statement, or a call of a function, was served."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Route(enum.Enum):
    """Where a statement, or a function, runs."""

    LOCAL = "local"
    PRIMARY = "primary"
    REGION = "region"
    """Another region that is not the primary region. Only functions are sent there."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a statement, or a function, was served, why, and what it cost."""

    route: Route
    why: str
    """A short clause that names the property of the statement, transaction or session that decided the route."""
    node: str | None = None
    """The node that executed it, as ``region=address``; None if it ran in this process."""
    rpc: float = 0.0
    """Seconds from sending the request to receiving its reply."""
    wait: float = 0.0
    """Seconds spent waiting for the replica."""
