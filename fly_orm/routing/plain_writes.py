"""The request of a plain write, which is made once, and used again while nothing changes that it depends on.

A *plain write* is a statement of which only the text reaches its request (``Statement.is_plain_write``), in autocommit,
on a connection with nothing open on the primary, and recorded by nobody. Whatever else decides where it goes and what
its request says is its *stamp*. The request of one such write, with another text, is that of the next one while the
stamp is the same. What makes the request is :class:`fly_orm.routing.requests.Requests`, here as everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..deadline import now
from ..protocol.messages import Run
from ..sessions.context import current
from ..sessions.operation import current_operation

Stamp = tuple[object, ...]


class _Template(NamedTuple):
    run: Run
    stamp: Stamp
    ends_at: float


class PlainWrites:
    """The last request of a plain write over one connection."""

    def __init__(self) -> None:
        self._template: _Template | None = None

    def keep(self, run: Run, stamp: Stamp, connection: Any, ends_at: float) -> None:
        """Use a request again, until the instant ``ends_at`` at most, when something besides has to be done.

        It is not if the stamp that it was made under has changed, as by what was found out for it.
        """
        if run.record is None and stamp == stamp_of(connection):
            self._template = _Template(run, stamp, ends_at)

    def request(self, sql: bytes, connection: Any) -> Run | None:
        """The request of the next plain write; None if it has to be made anew."""
        template = self._template
        if template is None or now() >= template.ends_at or stamp_of(connection) != template.stamp:
            return None
        return msgspec.structs.replace(template.run, statements=[sql])


def stamp_of(connection: Any) -> Stamp | None:
    """What the request of a plain write depends on besides its text; None if there can be no such write now."""
    session, remote = current(), connection.remote
    if session.activity is not None or current_operation() is not None:
        return None
    if connection.promoted or connection.begins or connection.in_transaction or not remote.is_free:
        return None
    router, settings = connection.router, remote.session_settings
    if settings.is_stale:
        return None
    local, seen = router.local, session.watermarks.known(connection.database)
    return (
        # What is compared here is not changed in place, but replaced.
        settings.start,
        settings.start_is_old,
        settings.profile(connection, local.unreported(connection)),
        connection.get_parameter_status("client_encoding"),
        session.wait_or(None),
        router.fence.version,
        local.at_primary,
        local.replica.server(connection.instance).history,
        None if seen is None else (seen.system, seen.timeline),
    )
