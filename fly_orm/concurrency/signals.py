"""Waits for signals in the main thread, such as those that ask a process to stop."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any

#: What asks a process to stop.
STOP = (signal.SIGTERM, signal.SIGINT)
#: What :meth:`Signals.wake` sends; it is not the number of a signal.
_WAKE = 0


class Signals:
    """A block in which these signals do nothing but end :meth:`wait`. The main thread uses it.

    The system may deliver a signal to any thread, and Python runs its handlers in the main thread only, which may sleep
    on in ``Event.wait()``. But whichever thread it is, Python also writes the number to a socket, which wakes a reader.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    def __enter__(self) -> Signals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {number: signal.signal(number, _ignore) for number in self._numbers}
        self._wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def wait(self, timeout: float | None = None) -> int:
        """The number of the next signal; 0 if :meth:`wake` was called before that, or after ``timeout`` seconds."""
        self._reader.settimeout(timeout)
        while True:
            try:
                number = self._reader.recv(1)[0]
            except (TimeoutError, BlockingIOError):  # the latter if the timeout is 0
                return _WAKE
            if number == _WAKE or number in self._numbers:
                return number

    def wake(self) -> None:
        """End the wait, or the next one. Any thread may call."""
        with suppress(OSError):  # it is full, so that the wait ends anyway, or the block has ended
            self._writer.send(bytes([_WAKE]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_fd)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: a signal that had no handler would not be written to the socket."""
