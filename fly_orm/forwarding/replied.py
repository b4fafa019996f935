"""What follows a reply."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger("fly_orm")


@contextmanager
def after_reply(action: str) -> Iterator[None]:
    """A block that runs once a node has replied. It logs the errors in it and never raises them.

    The request may have committed something, so that its caller would take the error for one of the write. ``action``
    completes "could not …" in the log.
    """
    try:
        yield
    except Exception:  # whatever it is
        with suppress(Exception):  # a log handler or filter of the application's may raise, too
            log.exception("a request was executed, but this process could not %s; its result is returned", action)
