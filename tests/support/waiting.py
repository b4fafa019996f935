"""Waiting for what happens elsewhere, and no longer than a busy machine needs."""

from __future__ import annotations

from collections.abc import Callable

from fly_orm.testing.contract import tools

PATIENCE = 40.0


def until(condition: Callable[[], object], complaint: str = "it did not happen") -> None:
    """Return once the condition is true; AssertionError if that takes too long."""
    tools.until(condition, PATIENCE, lambda: complaint)
