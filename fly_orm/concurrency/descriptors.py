"""File descriptors: how many there may be, and one that is kept for when there are no others."""

from __future__ import annotations

import errno
import math
import os

#: Errors of accept(2) that last until something is closed: the connection stays in the queue.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def descriptor_limit() -> float:
    """How many file descriptors the process may have."""
    try:
        import resource  # not every system has it
    except ImportError:
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


class Spare:
    """A descriptor that can be given up for a moment, for somebody who waits to be accepted. Used by one thread."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.take()

    def take(self) -> None:
        """Have the descriptor, if there is one left."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return

    def give_up(self) -> bool:
        """Close the descriptor. Whether there was one."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is not None
