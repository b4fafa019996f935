"""How long something is measured."""

from __future__ import annotations

import os


def seconds(usual: float) -> float:
    """What the variable SECONDS says, as in ``make load SECONDS=180``; the usual number without it."""
    return float(os.environ.get("SECONDS") or usual)
