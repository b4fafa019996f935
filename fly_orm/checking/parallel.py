"""Questions that are asked at the same time, none of which can delay the others or the caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..deadline import Deadline

T = TypeVar("T")


class Question(Generic[T]):
    """A question that a thread of its own asks as soon as it is made. RuntimeError if no thread can be started."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ended = Latch()
        self._answer: T | None = None
        self._error: BaseException | None = None
        start_thread(partial(self._run, ask), "fly_orm check")  # which is not kept: it may hold what it asks about

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answer = ask()
        except BaseException as error:  # noqa: BLE001  # raised where the answer is needed
            self._error = error
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether there is an answer, or an error."""
        return self._ended.is_set()

    def answer(self, deadline: Deadline) -> T | None:
        """The answer; None if there is none by the deadline. Raises what the question has raised."""
        if not self._ended.wait(deadline.remaining()):
            return None
        if self._error is not None:
            raise self._error
        return self._answer
