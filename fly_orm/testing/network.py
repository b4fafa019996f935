"""The weather on the WAN: what all of its links have in common."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .address import SocketAddress

if TYPE_CHECKING:
    from .faults import Fault
    from .link import Link


class Weather(enum.Enum):
    """What happens to every byte until somebody heals the WAN."""

    FAIR = "delivered"
    CUT = "connections are dropped and refused"
    STALLED = "bytes are held"
    DEAF = "bytes are swallowed"


@dataclass(kw_only=True)
class Network:
    """State shared by the links of one WAN; only its loop's thread changes it."""

    loop: asyncio.AbstractEventLoop
    target: SocketAddress
    rtt: float
    weather: Weather = Weather.FAIR
    fault: Fault | None = None
    links: set[Link] = field(default_factory=set)
    connections: int = 0
    round_trips: int = 0

    def take_fault(self) -> Fault | None:
        """The fault that the request arriving now meets, if one was ordered."""
        fault, self.fault = self.fault, None
        return fault
