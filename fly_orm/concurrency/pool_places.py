"""The places of a pool, and the callers that ask for what is in them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from ..deadline import now
from .latch import Latch

T = TypeVar("T")

#: What suits a caller better than anything else does.
EXACT = 2


class Usage(NamedTuple):
    """How a pool is used."""

    open: int
    """Items that are open or being opened."""
    idle: int
    """Those that nobody uses."""
    waiting: int
    """Callers that wait for one."""
    most: int
    """How many items there may be."""


class Caller(Generic[T]):
    """A caller that asks for an item. Once served, it has one, or a place in which it may open one."""

    # Most callers are served at once, and set only what they need.
    use: object = None
    """Tells what this caller uses from the same item when another one uses it."""
    served: Latch | None = None
    """Set once a caller in the queue was served."""
    place: Place[T] | None = None
    item: T | None = None
    error: Exception | None = None
    """What kept others from opening an item, which it would meet as well."""
    pool_closed = False


class Place(Generic[T]):
    """The place of one item. It lasts while somebody answers for it: who opens the item, who uses it, or the pool."""

    def __init__(self, caller: Caller[T]) -> None:
        self.use: object = object()
        caller.use = self.use
        self.opening = True
        self.item: T | None = None
        """The item, while it is idle."""
        self.since = 0.0
        """When it became idle…"""
        self.order = 0
        """…and after how many others."""
        self.owner: weakref.ref[Any] = weakref.ref(caller)
        """The caller that opens the item, and the item itself after that, which its user keeps alive."""

    def reopens(self, caller: Caller[T]) -> None:
        owner: weakref.ref[Any] = weakref.ref(caller)
        use = object()
        self.owner, self.use, self.opening, caller.use, caller.place = owner, use, True, use, self

    def opened(self, item: T) -> None:
        owner = weakref.ref(item)
        self.owner, self.opening = owner, False


def outstayed(
    idle: Iterable[Place[T]], seconds: float, last: float | None = None, keep: int = 0
) -> tuple[list[Place[T]], float | None]:
    """Those of the idle places whose items are to be closed, and the seconds until another one is; None if none is.

    They have been idle for ``seconds``, or the one used last for ``last`` seconds, if given. As many as ``keep`` says
    stay, those that were used last.
    """
    places = sorted(idle, key=lambda place: place.order)
    ends = [place.since + seconds - now() for place in places]
    if ends and last is not None:
        ends[-1] += last - seconds
    ends[len(ends) - min(keep, len(ends)) :] = [math.inf] * min(keep, len(ends))
    old = [place for end, place in zip(ends, places, strict=True) if end <= 0]
    return old, min((end for end in ends if 0 < end < math.inf), default=None)
