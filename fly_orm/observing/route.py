"""Where a statement, or a function, runs."""

from __future__ import annotations

import enum


class Route(enum.Enum):
    """Where a statement, or a function, runs."""

    LOCAL = "local"
    """This region's server."""
    PRIMARY = "primary"
    """The primary, through one of its nodes, or over a connection that leads to it from another region."""
    REGION = "region"
    """Another region that is not the primary region. Only functions are sent there."""
