"""Asks a server for everything that checks of its set-up need."""

from __future__ import annotations

from typing import Any

from ..findings.server import ServerFacts
from ..lsn import LSN
from ..postgres.cursors import text_cursor
from .describing import describe
from .instance import read_instance

#: The settings that are asked for.
SETTINGS = (
    "default_transaction_read_only",
    "hot_standby_feedback",
    "max_standby_streaming_delay",
    "synchronous_commit",
)
# Any role may ask. A role that may not see what the receiver does still sees that there is one.
_QUERY = """
    SELECT session_user::text, pg_has_role(session_user, 'pg_read_all_stats', 'USAGE')::text,
        (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)::text,
        (NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver))::text,
        CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::text ELSE 'false' END,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::text"""
_SETTINGS = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)"


def survey(connection: Any) -> ServerFacts:
    """The facts about the server that a connection in autocommit has reached."""
    described = describe(connection)
    with text_cursor(connection) as cursor:
        cursor.execute(_QUERY)
        role, reads_all_stats, superuser, receiving, paused, lsn, replay_age = cursor.fetchone()
        cursor.execute(_SETTINGS, (list(SETTINGS),))
        settings = dict(cursor.fetchall())
    return ServerFacts(
        primary=described.primary,
        address=described.address,
        run=described.run,
        version=connection.server_version,
        role=role,
        history=described.history,
        reads_all_stats=reads_all_stats == "true",
        superuser=superuser == "true",
        pooled=read_instance(connection) is None,
        receiving=receiving == "true",
        replay_paused=paused == "true",
        lsn=None if lsn is None else LSN.parse(lsn),
        replay_age=None if replay_age is None else float(replay_age),
        settings=settings,
    )
