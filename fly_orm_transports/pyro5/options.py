"""The options of this transport, which ``FLY_ORM_TRANSPORT_OPTIONS`` sets. Each field is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pyro5Options:
    """How much a server lets its peers take up."""

    max_connections: int = 256
    """Connections that a server has at a time; it closes further ones unread. At least 1."""
    max_strangers: int = 64
    """How many of them may belong to strangers, peers that have not proven yet that they hold the secret. One stranger
    too many displaces the oldest one. At least 1, and at most ``max_connections``."""

    def __post_init__(self) -> None:
        if self.max_connections < 1:
            raise ValueError(f"max_connections must be 1 or more, not {self.max_connections}")
        if not 1 <= self.max_strangers <= self.max_connections:
            raise ValueError(
                f"max_strangers must be between 1 and max_connections, which is {self.max_connections}, "
                f"not {self.max_strangers}"
            )
