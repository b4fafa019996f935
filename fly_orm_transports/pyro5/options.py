"""The options of this transport, which ``FLY_ORM_TRANSPORT_OPTIONS`` sets. Each field is one."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Pyro5Options:
    """How much a server lets its peers take up."""

    max_connections: int = 256
    """Connections that a server has at a time with peers that hold the secret. Each has a thread. One host
    leaves every fifth place to others. At least 1."""
    max_strangers: int = 1024
    """Connections that it has besides with strangers, peers that have not proven yet that they hold the secret, but no
    more than a quarter of the file descriptors that the process may have. One too many displaces the oldest one of the
    network (an IPv4 address, or the /64 of an IPv6 address) that has the most. At least 1."""
    max_strangers_per_network: int = 1024
    """How many of those may belong to one network. At least 1."""

    def __post_init__(self) -> None:
        for option in fields(self):
            if (value := getattr(self, option.name)) < 1:
                raise ValueError(f"{option.name} must be 1 or more, not {value}")
