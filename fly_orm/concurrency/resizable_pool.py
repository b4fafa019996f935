"""A pool whose bound can change while it is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .pool import Pool
from .pool_places import outstayed

T = TypeVar("T")


class ResizablePool(Pool[T]):
    """A pool that may get more places, and may be asked to do without one. Thread-safe."""

    #: Seconds after which the first caller in the queue is a shortage.
    _look_interval = 0.05
    on_shortage: Callable[[], None] | None = None
    """Called again and again while somebody waits; it may resize the pool."""

    @property
    def in_use(self) -> int:
        """How many items are not idle, or are being opened. Those that were dropped count for a while."""
        return sum(place.item is None for place in self._places)

    def resize(self, max_size: int) -> None:
        """Let there be more items from now on, or fewer if none is open."""
        with self._lock:
            self._max_size = self._max_opening = max_size
            self._serve_queue()

    def spare(self, seconds: float) -> bool:
        """Let there be one item fewer, unless all are in use or were during the last seconds; whether that is so."""
        with self._lock:
            is_full = self._count() >= self._max_size
            old = outstayed(self._idle, seconds)[0][:1] if is_full else []
            if self._waiting or (is_full and not old):
                return False
            self._places = [place for place in self._places if place not in old]
            self._max_size = self._max_opening = self._max_size - 1
        for place in old:
            if place.item is not None:
                self._close(place.item)
        return True

    def _look(self) -> None:
        if self.on_shortage is not None:
            self.on_shortage()
