"""What a thread waits for while it may be interrupted: a latch, and a bell.

A signal handler of the application can raise in the main thread at any moment: KeyboardInterrupt, the time limits of
job queues, timeouts by ``signal.setitimer``. :class:`threading.Event` and all else in the standard library that is
built on :class:`threading.Condition` (Semaphore, Future, Queue, and the start of a Thread) do not survive that.
``Condition.__enter__`` is a Python function. An exception that is raised in it after it has acquired its lock leaves
the lock locked for ever, as the ``with`` statement does not own it yet: the thread that is to set the event hangs.

A ``with`` statement over a plain :class:`threading.Lock`, which is implemented in C, always releases it (CPython issues
74174 and, for Python 3.14, 148874). What is here is made of such locks, and no two threads need the same one at a time.
Note that ``lock.acquire()`` in a statement of its own can be interrupted after it has the lock; see
:mod:`.fair_semaphore`.
"""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Wakes the one thread that waits for it. A bell that rings before that wakes it at once. Any thread may ring."""

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread. To ring again before it has woken makes no difference."""
        # Not suppress(), whose methods are Python functions and add moments at which this can be interrupted.
        try:  # noqa: SIM105
            self._silent.release()
        except RuntimeError:  # it has rung already
            pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it rings, at most for ``timeout`` seconds; whether it has rung. It is silent again after that."""
        return self._silent.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX))


class Latch:
    """Set once, and waited for by any number of threads. Thread-safe.

    An exception that a signal handler raises in :meth:`set` or :meth:`wait` holds up no other thread.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._bells: list[Bell] = []

    def is_set(self) -> bool:
        """Whether it has been set."""
        return self._is_set

    def set(self) -> None:
        """Let all threads go on, those that wait now and those that come later."""
        self._is_set = True
        try:
            self._ring()
        except BaseException:
            self._ring()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most for ``timeout`` seconds; whether it is set."""
        if self._is_set:
            return True
        bell = Bell()
        try:
            self._bells.append(bell)
            # In this order: set() rings all bells that it finds after it has set the flag.
            return self._is_set or bell.wait(timeout) or self._is_set
        finally:
            with suppress(ValueError):
                self._bells.remove(bell)

    def _ring(self) -> None:
        for bell in self._bells.copy():
            bell.ring()
