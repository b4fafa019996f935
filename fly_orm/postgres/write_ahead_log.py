"""How far a replica must replay the primary's write-ahead log to show what one Postgres session did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors

from ..lsn import LSN
from ..position import History, Position
from .cursors import bytes_cursor, execute, text_cursor

# The name of a WAL file begins with the timeline, in eight hexadecimal digits.
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8)"
_HISTORY = f"{_TIMELINE}, system_identifier::text FROM pg_control_system()"
_IS_ASYNCHRONOUS = "pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'"
_FLUSHED = "pg_catalog.pg_current_wal_flush_lsn()"
_STATE = (
    f"{_FLUSHED}, pg_catalog.pg_current_wal_insert_lsn(),"
    f" {_IS_ASYNCHRONOUS} OR pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL"
)
#: Asks for the state of the log; see :meth:`WriteAheadLog.commit_position`. Each column costs the driver time.
STATE = f"SELECT pg_catalog.concat_ws(' ', {_STATE})".encode("ascii")
#: Unlocks what the session has locked, and has STATE in the same string tell whether its commits were asynchronous,
#: although settings are reset in between: the transaction of the string then has an id.
UNLOCK = (
    f"SELECT pg_catalog.pg_advisory_unlock_all(), CASE WHEN {_IS_ASYNCHRONOUS} THEN pg_catalog.pg_current_xact_id() END"
)
# A transaction gets its xid when it first writes.
_TO_COMMIT = (
    "SELECT pg_current_xact_id_if_assigned() IS NOT NULL, current_setting('synchronous_commit') = 'off',"
    " current_setting('synchronous_standby_names') <> ''"
    " AND current_setting('synchronous_commit') NOT IN ('off', 'local'),"
    " current_setting('transaction_read_only') = 'on'"
)
#: From this version on, a WAL sender that is about to sleep can miss a flush: it looks for something to send, and only
#: then registers to be woken (WalSndWait in Postgres' walsender.c). Of commits that came in pairs, 7 % were therefore
#: sent a round trip late, with the next message from the replica.
_SLEEPY_SENDERS_VERSION = 160000
# The view pg_stat_replication would take four times as long.
_UNSENT = "SELECT FROM pg_stat_get_wal_senders() WHERE state = 'streaming' AND sent_lsn < %s"
#: Tells the state, and whether a replica lacks some of it. None does as far as a role may not see what has been sent.
_STATE_AND_SENDERS = (
    f"SELECT pg_catalog.concat_ws(' ', {_STATE}, coalesce(pg_catalog.bool_or("  # noqa: S608  # constants
    "state OPERATOR(pg_catalog.=) 'streaming'"
    f" AND sent_lsn OPERATOR(pg_catalog.<) {_FLUSHED}), false)) FROM pg_catalog.pg_stat_get_wal_senders()"
).encode("ascii")
# A transaction of its own, so that the commit flushes its small record whatever the session has set. It does not wait
# for synchronous replicas, hence ``local``.
_PUSH = "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'fly_orm', ''); COMMIT"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What a commit is like."""

    wrote: bool = True
    """False if the transaction has written nothing."""
    asynchronous: bool = False
    """Whether it returns before its record is flushed (``synchronous_commit = off``)."""
    waits: bool = True
    """Whether it may wait for a synchronous standby."""
    read_only: bool = False
    """Whether the transaction may not write to tables."""


def read_history(connection: Any) -> History | None:
    """The history of the primary that a driver connection, in autocommit, has reached.

    None if the owner of the database does not let this role ask. The timeline of a primary changes only with a restart.
    """
    try:
        with text_cursor(connection) as cursor:
            cursor.execute(_HISTORY)
            timeline, system = cursor.fetchone()
    except psycopg2.errors.InsufficientPrivilege:
        return None
    return History(int(system), int(timeline, 16))


def _read_timeline(connection: Any) -> int:
    with text_cursor(connection) as cursor:
        cursor.execute(_TIMELINE)
        return int(cursor.fetchone()[0], 16)


class WriteAheadLog:
    """The log of the primary that a driver connection, in autocommit, has reached. One thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.history = read_history(connection)
        """The history of the primary; None if it is not known."""
        known = self.history or History(0, _read_timeline(connection))
        self._system, self._timeline = known.system, known.timeline
        self._senders_sleep = connection.server_version >= _SLEEPY_SENDERS_VERSION
        self.question = _STATE_AND_SENDERS if self._senders_sleep else STATE
        """STATE, with what else :meth:`commit_position` makes use of."""
        self.to_send: LSN | None = None
        """The last commit that may not have been sent to the replicas yet, for :meth:`wake_senders`."""
        self.sent = LSN(0)
        """Up to where everything is known to have been sent."""

    def upcoming_commit(self) -> Commit:
        """What the commit of the open transaction will be like."""
        with bytes_cursor(self._connection) as cursor:
            cursor.execute(_TO_COMMIT)
            wrote, asynchronous, waits, read_only = (value == b"t" for value in cursor.fetchone())
            return Commit(wrote=wrote, asynchronous=asynchronous, waits=waits, read_only=read_only)

    def position_after(self, commit: Commit, state: str | None = None) -> Position:
        """The position that a replica must replay to show a transaction that has ended so, and what it has read."""
        if not commit.wrote:
            return self.read_position(state)
        return self.commit_position(asynchronous=commit.asynchronous, state=state)

    def read_position(self, state: str | None = None) -> Position:
        """The position that a replica must replay to show everything that this Postgres session has read.

        ``state`` is what :attr:`question` has returned since, if it was asked.
        """
        flushed, *_ = (self._ask() if state is None else state).split()
        return Position(LSN.parse(flushed), self._system, self._timeline)

    def commit_position(self, *, asynchronous: bool = False, state: str | None = None) -> Position:
        """The position that a replica must replay to show everything that this Postgres session has committed.

        This is the flush position, because a commit returns when its own record has been flushed. The insert position
        covers the commit too, but it can lie in records of other sessions, which a replica does not get before they are
        flushed: up to 200 ms later if those sessions do not commit.

        In two cases the flush position is not enough. With ``synchronous_commit = off`` (or ``asynchronous``, if that
        was so at the commit) it can precede the commit, so the insert position is taken. At a page boundary it can lie
        inside another session's record. In both cases a small record is flushed after it, which completes what a
        replica needs.

        ``state`` is what STATE or :attr:`question` has returned since the commit, if it was asked in another string.
        """
        flushed, inserted, is_off, *unsent = (self._ask() if state is None else state).split()
        asynchronous = asynchronous or is_off == "t"
        lsn = LSN.parse(inserted if asynchronous else flushed)
        if asynchronous or lsn.ends_page:
            self._push()
        elif unsent == ["f"]:
            self.sent = lsn
        elif self._senders_sleep:
            self.to_send = lsn
        return Position(lsn, self._system, self._timeline)

    def wake_senders(self) -> None:
        """Make sure that the last commit is sent to the replicas soon.

        Flushing another record wakes a WAL sender that missed the commit. Does nothing for a role that may not see what
        has been sent, because it is not a member of pg_read_all_stats.
        """
        lsn, self.to_send = self.to_send, None
        if lsn is not None:
            with self._connection.cursor() as cursor:
                cursor.execute(_UNSENT, (str(lsn),))
                if cursor.rowcount:
                    self._push()

    def _ask(self) -> str:
        with text_cursor(self._connection) as cursor:
            cursor.execute(STATE)
            state: str = cursor.fetchone()[0]
            return state

    def _push(self) -> None:
        """Flush a small record. If that fails, the caller waits a little longer, and nothing is lost."""
        try:
            execute(self._connection, _PUSH)
        except psycopg2.Error:
            execute(self._connection, "ROLLBACK")
