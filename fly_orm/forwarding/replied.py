"""What follows a reply."""

from __future__ import annotations

import logging
from contextlib import suppress
from types import TracebackType

log = logging.getLogger("fly_orm")


def could_not(action: str, error: Exception) -> None:
    """Log an error that comes after a reply. Never raises."""
    with suppress(Exception):  # a log handler or filter of the application's may raise, too
        message = "a request was executed, but this process could not %s; its result is returned"
        log.error(message, action, exc_info=error, extra={"event": "after_reply_failed", "action": action})


class after_reply:  # noqa: N801  # it is used as contextlib.suppress is
    """A block that runs once a node has replied. It logs the errors in it and never raises them.

    The request may have committed something, so that its caller would take the error for one of the write. ``action``
    completes "could not …" in the log.
    """

    __slots__ = ("_action",)

    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        could_not(self._action, error)
        return True
