"""Lets one process hold all steps of the others for an instant."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Gate:
    """One thread's way through a gate that is two files in a folder; each thread has its own.

    A lock on one file would not do: steps that overlap would keep whoever wants to hold them waiting for ever.
    """

    def __init__(self, folder: Path) -> None:
        self._turnstile = (folder / "turnstile").open("ab")
        self._steps = (folder / "steps").open("ab")

    @contextmanager
    def step(self) -> Iterator[None]:
        """A block that does not run while the gate is held."""
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        fcntl.flock(self._steps, fcntl.LOCK_SH)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._steps, fcntl.LOCK_UN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block during which no step runs."""
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        fcntl.flock(self._steps, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._steps, fcntl.LOCK_UN)
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def close(self) -> None:
        self._turnstile.close()
        self._steps.close()
