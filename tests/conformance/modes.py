"""The ways in which the suite is run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One run of the suite."""

    name: str
    """Also that of its database."""
    how: str
    """How the suite's databases are wrapped: ``plain`` (not at all), ``before`` or ``after`` they are bound."""
    wait: str = "write"
    """What ``wrap()`` is told of when a write returns."""
    apply_delay: float = 0.0
    """Seconds by which the replica replays each commit later."""

    @property
    def wrapped(self) -> bool:
        """Whether the suite is connected to the replica, through fly_orm."""
        return self.how != "plain"


DELAY = 0.04

PLAIN = Mode(name="plain", how="plain")
WRAPPED = (
    Mode(name="before_bind", how="before"),
    Mode(name="after_bind", how="after"),
    Mode(name="delayed", how="before", apply_delay=DELAY),
)
CONTROL = Mode(name="no_wait", how="before", wait="none", apply_delay=DELAY)
"""Reads that may be stale: a suite that passes so would not notice them."""
