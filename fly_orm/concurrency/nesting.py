"""Blocks that nest in each context by itself, in whatever order they are left.

What a block puts into force belongs to the context (:mod:`contextvars`) that enters it: other threads and tasks have
nothing of it, and a context that is copied inside the block, as for a new task or by ``asyncio.to_thread``, keeps it
for as long as it lasts. A token of a ContextVar alone would not do. It restores what there was before, which is wrong
if two generators hold a block open each and the first one ends first, and it raises an error if a generator ends in
another context, as the event loop ends asynchronous ones that were not exhausted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Generic, TypeVar

T = TypeVar("T")


class Entered(Generic[T]):
    """One block that was entered."""

    __slots__ = ("is_over", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self.is_over = False
        """Whether it was left in another context than it was entered in, so that no context is in it any more."""


class Nesting(Generic[T]):
    """The blocks of one kind that each context is in. Made once, by a module. Thread-safe."""

    def __init__(self, name: str) -> None:
        self.entered: ContextVar[tuple[Entered[T], ...]] = ContextVar(name, default=())
        """The blocks, the innermost one last. Some may be over."""

    @contextmanager
    def block(self, value: T, left: Callable[[Entered[T]], None] | None = None) -> Iterator[Entered[T]]:
        """A block that has this value. ``left`` is called once it was left, with ``is_over`` set accordingly."""
        mine, token = Entered(value), None
        try:
            token = self.entered.set((*self.open(), mine))
            yield mine
        finally:
            try:
                self._leave(mine, token, left)
            except BaseException:  # an interrupt, after which the context must not stay in the block
                self._leave(mine, token, left)
                raise

    def open(self) -> list[Entered[T]]:
        """The blocks that this context is in, the innermost one last."""
        return [each for each in self.entered.get() if not each.is_over]

    def innermost(self) -> T | None:
        """The value of the innermost block; None outside of blocks."""
        entered = self.entered.get()
        if not entered:
            return None
        return next((each.value for each in reversed(entered) if not each.is_over), None)

    def _leave(
        self, mine: Entered[T], token: Token[tuple[Entered[T], ...]] | None, left: Callable[[Entered[T]], None] | None
    ) -> None:
        """Leave a block; it does no harm to do so twice."""
        others = tuple(each for each in self.open() if each is not mine)
        if token is not None:
            try:
                self.entered.reset(token)
            except ValueError:  # this is not the context that has entered it
                mine.is_over = True
            except RuntimeError:  # it was done, before an interrupt
                pass
        self.entered.set(others)
        if left is not None:
            left(mine)
