"""A bounded number of threads that run functions for callers elsewhere.

Each keeps what it has open, such as its ORM's connection, for the next function: a thread of its own for every caller
would need as many connections to the primary as there are callers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from ..concurrency.pool import Pool
from ..deadline import Deadline

T = TypeVar("T")


class _Worker(Generic[T]):
    """One thread. It is lent to one caller at a time."""

    def __init__(self, name: str, leave: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        self._leave = leave
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, job: Callable[[], T]) -> T:
        """The result of the job, once the thread has done it; raises what it raises."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def end(self) -> None:
        """Let the thread end when it has done its job."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, future = given
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001  # whatever it is, the caller's thread gets it
                future.set_exception(error)
            del job, future, given  # an idle thread holds nothing of its last job
        self._leave()


class Workers(Generic[T]):
    """Threads, started on demand, at most ``max_size``. Thread-safe.

    ``leave`` is called on each when it ends.
    """

    def __init__(self, name: str, *, max_size: int, leave: Callable[[], None] = lambda: None) -> None:
        self._pool: Pool[_Worker[T]] = Pool(lambda _deadline: _Worker(name, leave), _Worker.end, max_size=max_size)

    def run(self, job: Callable[[], T], deadline: Deadline) -> T:
        """The result of the job; PoolTimeout if no thread was free to begin it in time."""
        worker = self._pool.acquire(deadline)
        try:
            return worker.run(job)
        finally:
            self._pool.release(worker)

    def close(self) -> None:
        """End the threads that are idle now, and the others when they have done their jobs. Returns at once."""
        self._pool.close()
