"""Where the regions are."""

from __future__ import annotations

#: The cities of the regions, in the order in which they are shown.
CITIES = {"syd": "Sydney", "lax": "Los Angeles", "ams": "Amsterdam"}
REGIONS = tuple(CITIES)
#: Where the primary is at first.
HOME = "syd"

_ROUND_TRIPS = {frozenset({"syd", "lax"}): 0.150, frozenset({"syd", "ams"}): 0.090, frozenset({"lax", "ams"}): 0.140}


def round_trip(one: str, other: str) -> float:
    """Seconds that a round trip takes between two regions; 0 within one."""
    return _ROUND_TRIPS.get(frozenset({one, other}), 0.0)
