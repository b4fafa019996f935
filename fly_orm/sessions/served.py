"""How a statement, or a function, was served."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Route(enum.Enum):
    """Where a statement, or a function, runs."""

    LOCAL = "local"
    PRIMARY = "primary"
    REGION = "region"
    """In another region, which is not the primary one: only functions are sent there."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a statement, or a function, was served, why, and what it cost."""

    route: Route
    why: str
    """A short clause: what about the statement, the transaction or the session decided the route."""
    node: str | None = None
    """The node that executed it, as ``region=address``; None if it ran here."""
    rpc: float = 0.0
    """Seconds from sending the request to having its reply."""
    wait: float = 0.0
    """Seconds spent waiting for the replica after that."""
