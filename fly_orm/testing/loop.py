"""An event loop on a thread of its own, with timers that are precise to a fraction of a millisecond."""

from __future__ import annotations

import asyncio
import select
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class PreciseSelector(selectors.DefaultSelector):
    """The platform's selector; epoll's would round every timeout up to a whole millisecond."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The files that are ready, after at most ``timeout`` seconds."""
        fileno = getattr(self, "fileno", None)
        if fileno and timeout and timeout > 0 and fileno() < _FD_SETSIZE:
            # select() has microseconds, and the selector is itself a file that it can wait for.
            select.select([fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


_FD_SETSIZE = 1024


class LoopThread:
    """A running event loop that other threads give work to."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.SelectorEventLoop(PreciseSelector())
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the loop accepts work."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of a coroutine that runs on the loop's thread; RuntimeError after :meth:`close`."""
        if not self.running:
            work.close()
            raise RuntimeError(f"the {self._thread.name} is closed")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _main(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()
