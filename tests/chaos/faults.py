"""Hands that make faults, each one after another, at random."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .history import Fault
from .world import World


class Kind(NamedTuple):
    """A kind of fault, and what makes one, which returns once it is over."""

    name: str
    make: Callable[[Hand], Any]


class Hand(threading.Thread):
    """Makes faults of some kinds, each kind in turn, in a random order. The same seed makes the same choices."""

    def __init__(self, world: World, kinds: Sequence[Kind], *, seed: str, idle: float) -> None:
        """``idle`` is the longest time (seconds) between two faults."""
        super().__init__(daemon=True)
        self.world = world
        self.dice = random.Random(seed)
        self.made = 0
        self.error: Exception | None = None
        self._kinds = kinds
        self._idle = idle
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            for kind in self.dice.sample(self._kinds, len(self._kinds)):
                self.wait(self._idle)
                if self._over.is_set():
                    return
                try:
                    kind.make(self)
                except Exception as error:
                    self.error = error
                    return
                self.made += 1

    def stop(self) -> None:
        """Make no more faults; what is failing works again when this returns."""
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def wait(self, most: float, least: float = 0.0) -> None:
        """Wait for some seconds, at random, or until the time is over."""
        self._over.wait(self.dice.uniform(least, most))

    def note(self, kind: str, target: str = "") -> None:
        """Write down that a fault happens now."""
        self.world.journal.write(Fault(kind=kind, target=target))
