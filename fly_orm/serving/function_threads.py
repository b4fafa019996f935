"""A bounded pool of threads on which functions run.

Each thread keeps what it has opened, such as its ORM's connection, for the next function. With a thread for every
caller, there would be as many connections to the primary as callers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from ..concurrency.resizable_pool import ResizablePool
from ..deadline import Deadline

T = TypeVar("T")


class _Thread(Generic[T]):
    """One thread, which works for one caller at a time."""

    def __init__(self, name: str, on_exit: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        self._on_exit = on_exit
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, job: Callable[[], T]) -> T:
        """The result of the job, which the thread does meanwhile; raises what the job raises."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def end(self) -> None:
        """End the thread after its present job. Returns at once."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised in the caller's thread
                future.set_exception(error)
            del job, future, item  # an idle thread must not keep the arguments and results of its last job alive
        self._on_exit()


class FunctionThreads(Generic[T]):
    """At most ``max_size`` threads, started on demand. Each calls ``on_exit`` when it ends. Thread-safe."""

    def __init__(self, name: str, *, max_size: int, on_exit: Callable[[], None] = lambda: None) -> None:
        self.places = self._pool = ResizablePool[_Thread[T]](
            lambda _deadline: _Thread(name, on_exit), _Thread.end, max_size=max_size
        )

    def run(self, job: Callable[[], T], deadline: Deadline) -> T:
        """The result of the job, done by one of the threads. PoolTimeout if none is free by the deadline."""
        thread = self._pool.acquire(deadline)
        try:
            return thread.run(job)
        finally:
            self._pool.release(thread)

    def close(self) -> None:
        """End the threads that are idle now, and the others after their jobs. Returns at once."""
        self._pool.close()
