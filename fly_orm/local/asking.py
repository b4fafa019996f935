"""The questions that a replica is asked, over any connection to it that is in autocommit."""

from __future__ import annotations

import logging
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2 import extensions as ext

from ..concurrency.latch import Bell, Latch
from ..concurrency.timer import Timer, TimerClosed
from ..deadline import Deadline, now
from ..errors import NotAReplica, ReplicationTimeout
from ..lsn import LSN
from ..position import History, Position
from ..postgres.cursors import text_cursor
from ..postgres.libpq import break_off, was_lost
from ..waiters.polling import PollingStrategy
from ..waiters.replica_connection import ANSWER_TIMEOUT
from .lateness import Lag
from .progress import Progress

log = logging.getLogger("fly_orm")

_STRATEGY = PollingStrategy()

# The newest timeline of which the replica has certainly replayed something. Each of the three sources lags in its own
# way; the last one is null unless the role is a member of pg_read_all_stats.
_HISTORY = """
    SELECT (SELECT system_identifier FROM pg_control_system())::text, greatest(
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
        (SELECT received_tli FROM pg_stat_get_wal_receiver())
    )::text"""
_LAG = """
    SELECT pg_last_wal_replay_lsn()::text,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8"""
_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END"
_REPLAYED_AND_HISTORY = f"SELECT * FROM ({_REPLAYED}) AS replayed, ({_HISTORY}) AS history"  # noqa: S608  # constants


def read_history(connection: Any) -> History | None:
    """The system of a replica, and the newest timeline that it has replayed; None if the role may not ask."""
    try:
        with text_cursor(connection) as cursor:
            cursor.execute(_HISTORY)
            return History(*map(int, cursor.fetchone()))
    except psycopg2.errors.InsufficientPrivilege:
        _warn()
        return None


def read_replayed(connection: Any) -> LSN | None:
    """What the server has replayed; None if it is not in recovery, or has not replayed anything."""
    with text_cursor(connection) as cursor:
        cursor.execute(_REPLAYED)
        (replayed,) = cursor.fetchone()
    return None if replayed is None else LSN.parse(replayed)


def read_lag(connection: Any, wanted: LSN) -> Lag | None:
    """How far the server is behind a position that somebody wanted; None if it has not replayed anything."""
    with text_cursor(connection) as cursor:
        cursor.execute(_LAG)
        replayed, seconds = cursor.fetchone()
    if replayed is None:
        return None
    # The two servers' clocks can differ.
    return Lag(max(0, wanted - LSN.parse(replayed)), None if seconds is None else max(0.0, seconds))


def shows(connection: Any, position: Position, *, after: str = "") -> bool | None:
    """Whether a replica shows a position; None if the server is not in recovery, or has not replayed anything.

    The commands ``after`` which it is asked are part of the same string.
    """
    with text_cursor(connection) as cursor:
        cursor.execute(after + (_REPLAYED_AND_HISTORY if position.system else _REPLAYED))
        replayed, *history = cursor.fetchone()
    server = Progress(None)
    server.history = History(*map(int, history)) if history else None
    return None if replayed is None else LSN.parse(replayed) >= position.lsn and server.includes(position)


def poll(connection: Any, server: Progress, position: Position, deadline: Deadline, timer: Timer) -> None:
    """Wait for a server by asking it over the caller's own connection; see :meth:`LocalReplica.wait`."""
    if ext.connection.get_transaction_status(connection) == ext.TRANSACTION_STATUS_ACTIVE:
        # The question would wait for another thread's statement, and the time limit would end that.
        message = f"committed at {position}, but the connection to this region's replica is in use by another thread"
        raise ReplicationTimeout(message, lsn=position.lsn, final=True)
    if was_lost(connection):
        # To ask over it would close it, and writes over it do not need the replica.
        lost = psycopg2.OperationalError("the server closed the connection")
        raise _cannot_be_asked(position, lost) from lost
    left = deadline.remaining()
    limit = None if left is None else left + ANSWER_TIMEOUT
    try:
        with timer.limit(limit, lambda: break_off(connection)):
            _poll(connection, server, position, deadline)
    except (psycopg2.Error, TimerClosed) as error:
        raise _cannot_be_asked(position, error) from error


def _cannot_be_asked(position: Position, why: Exception) -> ReplicationTimeout:
    message = f"committed at {position}, but this region's replica cannot be asked what it has replayed: {why}"
    return ReplicationTimeout(message, lsn=position.lsn)


def _poll(connection: Any, server: Progress, position: Position, deadline: Deadline) -> None:
    started, over = now(), Bell()
    while True:
        replayed = read_replayed(connection)
        if replayed is None:
            raise NotAReplica("the local server is not in recovery, so there is no replay to wait for")
        if not server.includes(position):
            server.history = read_history(connection)
        if server.includes(position) and replayed >= position.lsn:
            server.note(position)
            return
        if server.is_elsewhere(position) or server.is_past(position):
            raise server.elsewhere(position)
        if deadline.expired:
            message = (
                f"committed at {position}, but this region's replica ({server.instance}) has replayed only up to "
                f"{replayed} after {deadline}"
            )
            raise ReplicationTimeout(message, lsn=position.lsn, replayed=replayed)
        left = deadline.remaining()
        pause = _STRATEGY.pause(now() - started)
        over.wait(pause if left is None else min(pause, left))


_warned = Latch()


def _warn() -> None:
    if not _warned.is_set():
        _warned.set()
        log.warning(
            "this role may not ask the replica which system and timeline it follows, so reads after a failover can "
            "be stale; GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint(), "
            "pg_control_recovery() to it",
            extra={"event": "replica_not_asked"},
        )
