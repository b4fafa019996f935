"""The log of statements and calls, at level DEBUG."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from .events import CallServed, StatementServed

log = logging.getLogger("fly_orm.statements")
#: Whether they are logged: ``logs(DEBUG)``.
logs = log.isEnabledFor
DEBUG = logging.DEBUG


def log_served(event: StatementServed | CallServed) -> None:
    """Log how a statement or a call was served, if anybody wants that. Raises no Exception."""
    if logs(DEBUG):
        with suppress(Exception):  # a handler or filter of the application's may raise
            log.debug("%s", line(event), extra=fields(event))


def log_failure() -> None:
    """Log the exception because of which observers could not be told of something. Raises no Exception."""
    with suppress(Exception):
        log.exception(
            "observers could not be told how a statement or a call was served", extra={"event": "internal_error"}
        )


def line(event: StatementServed | CallServed) -> str:
    """The event in one line, for people."""
    what = event.sql if isinstance(event, StatementServed) else f"call of {event.function}"
    where = "nowhere" if event.route is None else event.route.value
    place = event.node or getattr(event, "server", None)
    times = [("rpc", event.rpc), ("wait", event.wait)]
    parts = "".join(f", {name} {1000 * seconds:.1f}" for name, seconds in times if seconds)
    failed = "" if event.error is None else f", {event.error}"
    on = "" if place is None else f" on {place}"
    return f"{where}{on} in {1000 * event.total:.1f} ms{parts}{failed} ({event.why}): {what}"


def fields(event: StatementServed | CallServed) -> dict[str, Any]:
    """What the log record has besides, by attribute."""
    shown: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__ if name[0] != "_"}
    if isinstance(event, StatementServed):
        shown |= {"sql": event.sql, "command": event.command}
    return shown | {"event": event.heard_by, "route": None if event.route is None else event.route.value}
