"""What keeps a replica from replaying, so that whoever waits for it in vain can say why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2

from .server import Server

_PAUSED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END"
_DELAY = "SELECT nullif(current_setting('recovery_min_apply_delay'), '0')"
_RECEIVES = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)"
#: Replay waits for transactions that use what it is to change (Postgres manual, section "Handling Query Conflicts").
_IN_CONFLICT = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE backend_type = 'startup' AND (wait_event_type = 'Lock' OR wait_event LIKE 'RecoveryConflict%')
    )
"""
_OPEN = """
    SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::int, left(query, 200) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL ORDER BY xact_start
"""


def is_paused(server: Server) -> bool:
    """Whether it is a replica whose replay is paused."""
    return bool(server.query(_PAUSED))


def holders(server: Server) -> str:
    """The open transactions on a replica whose replay waits for one of them, or nothing."""
    return _open_transactions(server) if server.query(_IN_CONFLICT) else ""


def hindrances(server: Server) -> str:
    """All that may keep a replica from replaying, or nothing."""
    try:
        return "; ".join(_hindrances(server))
    except psycopg2.Error as error:
        return f"it does not answer: {error}".strip()


def _hindrances(server: Server) -> Iterator[str]:
    if is_paused(server):
        yield "its replay is paused until resume_replay()"
    if delay := server.query(_DELAY):
        yield f"it replays each commit {delay} late, until apply_delay(0)"
    if not server.query(_RECEIVES):
        yield "it receives nothing from the primary"
    if found := _open_transactions(server):
        yield f"transactions are open on it: {found}"


def _open_transactions(server: Server) -> str:
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return "; ".join(f"process {pid}, for {age} s: {query}" for pid, age, query in cursor.fetchall())
