"""A request that is executed in steps, because its caller takes the result in pieces."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

import msgspec

from ..protocol.messages import Copying, Done

R = TypeVar("R")
#: Yields pieces of a result, and returns what there is in the end.
Steps = Generator[Copying, None, R]


def uncommitted(steps: Steps[R]) -> Steps[R]:
    """The same steps, whose pieces say that nothing is committed before there is the rest."""
    with closing(steps):
        while True:
            try:
                piece = next(steps)
            except StopIteration as end:
                result: R = end.value
                return result
            yield msgspec.structs.replace(piece, uncommitted=True)


class SteppedRequest:
    """The request that runs in a lease, and how far it is. One thread at a time."""

    _steps: Steps[Done] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a piece of its result was sent, and there is more."""
        return self._steps is not None

    def begin(self, steps: Steps[Done]) -> Done | Copying:
        """The first piece of the result of a new request, or the reply to it. Raises what the steps raise."""
        self._steps = steps
        return self.go_on()

    def go_on(self) -> Done | Copying:
        """The next piece, or the reply."""
        steps, self._steps = self._steps, None
        if steps is None:
            raise RuntimeError("no result goes on")
        try:
            piece = next(steps)
        except StopIteration as end:
            done: Done = end.value
            return done
        self._steps = steps
        return piece

    def close(self) -> None:
        """Give the request up."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
