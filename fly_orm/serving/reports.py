"""What a Postgres session holds after a request that may have changed it."""

from __future__ import annotations

import logging

import psycopg2

from ..postgres.primary_connection import PrimaryConnection
from ..postgres.session_report import encoded, has_state, read_settings
from ..protocol.messages import SessionReport, Watch

log = logging.getLogger("fly_orm.node")


def report(connection: PrimaryConnection, watch: Watch) -> SessionReport:
    """What the session of a connection holds of what is watched.

    If that cannot be found out, it counts as having state, so that its caller stays in it.
    """
    cursor = connection.cursor()
    try:
        settings = read_settings(cursor, watch.settings, anything=watch.anything)
        state = (watch.anything or watch.state) and has_state(cursor)
    except psycopg2.Error as error:  # what was asked for has been executed
        connection.made |= watch.customized
        log.warning(
            "could not find out what a statement has changed in its session: %s",
            str(error).strip(),
            extra={"event": "session_not_reported", "problem": str(error).strip()},
        )
        return SessionReport(has_state=True)
    connection.made.update(name for name in watch.customized if settings[name] is not None)
    if settings.get("session_authorization") == connection.session.own.role:
        settings["session_authorization"] = None  # of this node; its callers' sessions begin with another one
    encoding = connection.raw.get_parameter_status("server_encoding")
    return SessionReport(
        settings={name: None if value is None else encoded(value, encoding) for name, value in settings.items()},
        has_state=state,
    )
