"""Interrupts code at each moment at which a signal handler of the application could."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

#: Functions in C that wait, and that a signal ends early. Others have run to their end before a handler is called.
WAITING = frozenset(
    {"acquire", "connect", "get", "getaddrinfo", "poll", "recv", "recv_into", "select", "send", "sleep"}
)
#: More moments than any operation has that is worth testing.
MOST = 20_000


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, gevent.Timeout, or the time limit of a job queue."""


def interrupt() -> None:
    """Raise, as a signal handler does."""
    raise Interrupted


def at_every_moment(
    operation: Callable[[], object], handler: Callable[[], object] = interrupt, *, step: int = 1
) -> Iterator[int]:
    """Run the operation on this thread again and again, each time interrupted ``step`` moments later by the handler.

    Yields the number of the moment after each run that was interrupted, and ends with the run that was not. CPython
    calls signal handlers when a Python function begins, and when a function in C has returned; not while a ``with``
    statement acquires a lock that is implemented in C. These are the moments that profilers are told of. Python 3.14
    has one more, between a lock's ``__enter__`` and the block, where an interrupt leaves the lock acquired (CPython's
    issue 148874). No code in Python can prevent that, so it is left out.
    """
    for moment in range(1, MOST, step):
        if not interrupted_at(moment, operation, handler):
            return
        yield moment
    raise AssertionError(f"the operation has more than {MOST} moments")


def interrupted_at(moment: int, operation: Callable[[], object], handler: Callable[[], object] = interrupt) -> bool:
    """Run the operation; whether it has so many moments, at the last of which it was interrupted."""
    left = moment + 1  # the first is the beginning of the operation

    def profile(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal left
        entered = event == "c_return" and function.__name__ == "__enter__"
        if (event in ("call", "c_return") and not entered) or (event == "c_call" and function.__name__ in WAITING):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                handler()

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        operation()
    except Interrupted:  # unless it was raised in a destructor, where Python ignores it
        pass
    finally:
        sys.setprofile(previous)
    return left <= 0
