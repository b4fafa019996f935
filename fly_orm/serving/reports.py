"""What a Postgres session holds after a request that may have changed it."""

from __future__ import annotations

import logging
from typing import Any

import psycopg2

from ..postgres.session_report import has_state, read_settings
from ..protocol.messages import SessionReport, Watch

log = logging.getLogger("fly_orm")


def report(cursor: Any, watch: Watch) -> SessionReport:
    """What the session of a cursor, which returns bytes, holds of what is watched.

    If that cannot be found out, it counts as having state, so that its caller stays in it.
    """
    try:
        settings = read_settings(cursor, watch.settings, anything=watch.anything)
        return SessionReport(settings=settings, has_state=(watch.anything or watch.state) and has_state(cursor))
    except psycopg2.Error as error:  # a statement_timeout, for instance; what was asked for has been executed
        log.warning("could not find out what a statement has changed in its session: %s", str(error).strip())
        return SessionReport(has_state=True)
