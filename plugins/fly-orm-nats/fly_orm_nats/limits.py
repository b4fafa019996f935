"""The options of this transport, which ``FLY_ORM_TRANSPORT_OPTIONS`` sets. Each field is one.

How to reach NATS is not among them: that is in the variables of NATS itself, see :mod:`.connect_options`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a server lets its peers take up."""

    max_channels: int = 256
    """Channels that a server has at a time; it declines further ones. At least 1."""
    max_strangers: int = 64
    """How many of them may belong to strangers, peers that have not proven yet that they hold the secret. One stranger
    too many displaces the oldest one. At least 1, and at most ``max_channels``."""

    def __post_init__(self) -> None:
        if self.max_channels < 1:
            raise ValueError(f"max_channels must be 1 or more, not {self.max_channels}")
        if not 1 <= self.max_strangers <= self.max_channels:
            raise ValueError(
                f"max_strangers must be between 1 and max_channels, which is {self.max_channels}, "
                f"not {self.max_strangers}"
            )
