"""A pool of items that are opened in a place where others may have taken all the room."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any, TypeVar

from ..deadline import Deadline, now
from .pool import Pool
from .pool_places import Caller

T = TypeVar("T")

#: Seconds before another item is opened after there was no room for the first time…
FIRST_PAUSE = 0.1
#: …and at most.
LONGEST_PAUSE = 1.0


class CrowdedPool(Pool[T]):
    """A pool that makes do with the items it has while no further one can be opened. Thread-safe.

    Callers wait for one of these items, and one of them tries again after a pause, which doubles each time. If there is
    no item, they are told at once that there is no room.
    """

    def __init__(
        self,
        open: Callable[[Deadline], T],  # noqa: A002
        close: Callable[[T], None],
        *,
        no_room: Callable[[Exception], bool],
        **options: Any,
    ) -> None:
        """``no_room`` tells whether an error of ``open`` means that there is no room. The options are those of Pool."""
        super().__init__(open, close, **options)
        self._no_room = no_room
        self._error: Exception | None = None
        self._pause = FIRST_PAUSE
        self._opens_at = -math.inf
        """When another item may be opened (monotonic)."""

    def acquire(self, deadline: Deadline, suits: Callable[[T], int] | None = None) -> T:
        """See :meth:`Pool.acquire`. If there is no room and no item to wait for, raises what ``open`` does."""
        while True:
            if self._error is not None and self._is_paused and not self.size:
                raise copy.copy(self._error)
            try:
                return super().acquire(deadline, suits)
            except Exception as error:
                if not self._no_room(error) or not self.size or deadline.expired:
                    raise

    @property
    def _is_paused(self) -> bool:
        return self._opens_at > now()

    @property
    def _may_open(self) -> bool:
        return not self._is_paused and super()._may_open

    def _open_one(self, caller: Caller[T], deadline: Deadline) -> T:
        item = super()._open_one(caller, deadline)
        self._pause = FIRST_PAUSE
        return item

    def _share(self, error: Exception) -> None:
        if self._no_room(error):
            with self._lock:
                self._opens_at = now() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311  # processes take turns
                self._pause, self._error = min(2 * self._pause, LONGEST_PAUSE), error
                is_alone = self._count() <= 1  # besides the place of the caller that has failed
            if not is_alone:
                return
        super()._share(error)
