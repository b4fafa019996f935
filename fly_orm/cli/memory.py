"""Has the C library give the memory of long messages back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_BYTES = 1024 * 1024


def return_long_blocks() -> None:
    """Give each block of memory of a mebibyte or more back to the system once it is free, for this whole process.

    glibc raises the size from which it does so to 32 MiB once it has freed such blocks (mallopt(3)). A node then keeps
    what the longest messages and results have taken, several times over. Other C libraries do not offer this, and
    nothing changes.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BYTES)
