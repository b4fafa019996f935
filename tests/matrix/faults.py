"""What goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.matrix.link import Weather
from tests.matrix.world import World


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong at one moment, and stays so until the call has ended."""

    title: str
    strike: Callable[[World], object]
    rpc_timeout: float = 15.0
    """Seconds that the call may take; few where the fault uses them up."""
    drops: bool = False
    """Whether what has left the node and has not arrived is lost."""
    lets_go: bool = False
    """Whether what waits on the primary is to go on once it has struck, and not only when the call has ended."""
    delays: bool = False
    """Whether a request reaches the node when the link is mended, after its caller has given up."""
    cancels: bool = False
    """Whether the node cancels what runs, as it hears of the fault or of the deadline, or its end does so."""


def _weather(weather: Weather) -> Callable[[World], object]:
    return lambda world: world.to_node.change(weather)


FAULTS = {
    "cut": Fault(title="link cut", strike=_weather(Weather.CUT), rpc_timeout=1.5, drops=True, cancels=True),
    "stall": Fault(title="link stalled", strike=_weather(Weather.STALLED), rpc_timeout=1.5, delays=True, cancels=True),
    "deaf": Fault(title="peer deaf", strike=_weather(Weather.DEAF), rpc_timeout=1.5, cancels=True),
    "killed": Fault(title="node killed", strike=World.kill_node, rpc_timeout=1.5, drops=True, cancels=True),
    "restarted": Fault(title="primary restarted", strike=World.restart_primary),
    "terminated": Fault(title="backend terminated", strike=World.terminate_backends),
    "draining": Fault(title="node draining", strike=World.drain_node, rpc_timeout=3.0, lets_go=True),
}
