"""How much memory the reading of some bytes takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def takes_little_memory(read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether ``read`` takes memory in proportion to the length of the data, and not to what the data announces."""
    return takes_at_most(50 * len(data) + 200_000, read, data)


def takes_at_most(most: int, read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether ``read`` takes less than so many bytes of memory, once of three times: other threads take some, too."""
    return any(_peak(read, data) < most for _ in range(3))


def _peak(read: Callable[[bytes], object], data: bytes) -> int:
    tracemalloc.start()
    try:
        read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
