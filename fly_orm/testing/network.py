"""The state of the network between two places, which applies to every connection through it."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass

from .address import SocketAddress


class Weather(enum.Enum):
    """What happens to every byte until the WAN is healed."""

    FAIR = "delivered"
    CUT = "connections are dropped and refused"
    STALLED = "bytes are held"
    DEAF = "bytes are swallowed"


@dataclass(kw_only=True)
class Network:
    """The state of one WAN. Only the thread of its loop changes it."""

    loop: asyncio.AbstractEventLoop
    target: SocketAddress
    rtt: float
    """Seconds that a round trip takes."""
    weather: Weather = Weather.FAIR
