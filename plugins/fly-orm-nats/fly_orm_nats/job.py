"""A coroutine that runs in the connection's thread, for a caller in another thread that may be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar, cast

from fly_orm.transport import Deadline, Latch

T = TypeVar("T")


class NotInTime(Exception):
    """The coroutine had not ended by the caller's deadline."""


class Runs(Protocol):
    """Something with an event loop in a thread of its own."""

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the thread call the function."""
        ...


class Job(Generic[T]):
    """A coroutine to run, and what becomes of it.

    A :class:`concurrent.futures.Future` would not do: if the caller is interrupted while it waits, the connection's
    thread could hang when it sets the result. See :mod:`fly_orm.concurrency.latch`.
    """

    def __init__(self, runs: Runs, run: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._runs = runs
        self._run = run
        self._task: asyncio.Task[T] | None = None
        self._ended = Latch()
        self._discard: Callable[[T], object] | None = None

    def result(self, deadline: Deadline) -> T:
        """Run the coroutine, and return what it returns or raise what it raises. NotInTime if it takes too long."""
        self._runs.call_soon(self._begin)
        if not self._ended.wait(deadline.remaining()):
            raise NotInTime
        return cast("asyncio.Task[T]", self._task).result()

    def cancel(self, discard: Callable[[T], object] = lambda _value: None) -> None:
        """Cancel the coroutine, for a caller that has given up. What it has returned is discarded."""
        self._runs.call_soon(self._cancel, discard)

    # In the connection's thread

    def _begin(self) -> None:
        if self._discard is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        self._ended.set()
        if self._discard is not None and not task.cancelled() and task.exception() is None:
            self._discard(task.result())

    def _cancel(self, discard: Callable[[T], object]) -> None:
        self._discard = discard
        if self._task is None:
            return
        if self._ended.is_set():
            self._end(self._task)
        else:
            self._task.cancel()
