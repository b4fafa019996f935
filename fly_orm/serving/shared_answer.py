"""A question that clients ask an event loop, and that a thread answers for all who ask at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from ..concurrency.threads import start_thread
from ..deadline import now

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """Asks once, however many clients want to know. Used on the thread of an event loop.

    ``ask`` runs on a thread of its own, and may block. It must not raise.
    """

    def __init__(self, ask: Callable[[], T], thread: str) -> None:
        """``thread`` is the name of the thread."""
        self._ask = ask
        self._thread = thread
        self._answer: asyncio.Future[T] | None = None
        self._answered_at = 0.0

    async def get(self, *, max_age: float, timeout: float) -> T:
        """The answer that is awaited, or was given less than ``max_age`` seconds ago.

        asyncio's TimeoutError if there is none in time.
        """
        return await asyncio.wait_for(asyncio.shield(self._current(max_age)), timeout)

    def _current(self, max_age: float) -> asyncio.Future[T]:
        if self._answer is None or (self._answer.done() and now() - self._answered_at > max_age):
            loop = asyncio.get_running_loop()
            answer = self._answer = loop.create_future()

            def ask() -> None:
                found = self._ask()
                try:
                    loop.call_soon_threadsafe(self._note, answer, found)
                except RuntimeError:  # the loop was closed meanwhile
                    return

            start_thread(ask, self._thread)
        return self._answer

    def _note(self, answer: asyncio.Future[T], found: T) -> None:
        self._answered_at = now()
        answer.set_result(found)
