"""The Server-Timing header (W3C, Server Timing), which browsers' developer tools draw."""

from __future__ import annotations

from ..observing.route import Route
from ..observing.tracing import Trace

HEADER = "Server-Timing"


def header(trace: Trace) -> list[tuple[str, str]]:
    """The header that says what the statements so far have taken; none if there are none."""
    here, there = trace.taken(Route.LOCAL), trace.taken(Route.PRIMARY, Route.REGION)
    waits = sum(event.wait > 0 for event in list(trace.events))
    trips = trace.round_trips
    metrics = [
        _metric("local", _count(trace.local, "local statement"), here) if trace.local else "",
        _metric("primary", f"{trace.primary} on the primary, {_count(trips, 'round trip')}", there) if there else "",
        _metric("wait", _count(waits, "wait") + " for the replica", trace.waited) if waits else "",
    ]
    value = ", ".join(filter(None, metrics))
    return [(HEADER, value)] if value else []


def _metric(name: str, description: str, seconds: float) -> str:
    return f'{name};desc="{description}";dur={1000 * seconds:.1f}'


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
