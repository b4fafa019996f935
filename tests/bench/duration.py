"""How long, and how often, something is measured."""

from __future__ import annotations

import os

#: Set in the processes that measure in the quick form (``--quick``).
QUICK = "BENCH_QUICK"


def is_quick() -> bool:
    """Whether figures may be rough, as long as they come soon."""
    return bool(os.environ.get(QUICK))


def seconds(usual: float, quick: float | None = None) -> float:
    """What the variable SECONDS says, as in ``make load SECONDS=180``; without it the usual number, or the quick one.

    The quick one is a tenth of the usual one unless it is given.
    """
    roughly = usual / 10 if quick is None else quick
    return float(os.environ.get("SECONDS") or (roughly if is_quick() else usual))


def times(usual: int, quick: int | None = None) -> int:
    """How often: the usual number, or in the quick form the quick one, by default a tenth of it."""
    if not is_quick():
        return usual
    return max(1, usual // 10) if quick is None else quick
