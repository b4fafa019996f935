"""Starts threads for callers that may be interrupted."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

from .forks import abandon_in_children
from .latch import Latch


class _ThisThread(threading.local):
    """What each thread asks the system for once."""

    def __init__(self) -> None:
        self.native_id = threading.get_native_id()
        """The system's id of the thread."""
        abandon_in_children(self)

    def abandon(self) -> None:
        """Ask again in a forked child, whose only thread is another one for the system."""
        self.native_id = threading.get_native_id()
        abandon_in_children(self)


this_thread = _ThisThread()


def start_thread(run: Callable[[], object], name: str) -> None:
    """Run a function on a daemon thread of its own. RuntimeError if no thread can be started.

    If a signal handler raises meanwhile, the function may run or not, but the thread does not hang:
    :meth:`threading.Thread.start` waits for an Event that the new thread sets, and an interrupted wait can leave its
    lock locked (see :mod:`.latch`). So another thread calls it, where signals are not handled.
    """
    begun = Latch()
    _thread.start_new_thread(_start, (run, name, begun))
    begun.wait()  # as start() does, so that the thread is listed from now on


def start_thread_or_run(run: Callable[[], object], name: str) -> None:
    """Run a function on a daemon thread of its own, or on this one if no thread can be started, to its end."""
    try:
        start_thread(run, name)
    except RuntimeError:
        run()


def _start(run: Callable[[], object], name: str, begun: Latch) -> None:
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:  # there is no room for a second one, so this one has to do
        begun.set()
        run()
    else:
        begun.set()
