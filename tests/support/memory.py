"""How much memory the reading of some bytes takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def takes_little_memory(read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether ``read`` takes memory in proportion to the length of the data, and not to what the data announces."""
    tracemalloc.start()
    try:
        read(data)
        return tracemalloc.get_traced_memory()[1] < 50 * len(data) + 200_000
    finally:
        tracemalloc.stop()
