"""A connection to the primary, opened by fly_orm: what it returns, and how far the primary is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2 import extensions as ext

from ..lsn import LSN
from ..position import Position
from .libpq import break_off, has_input

Profile = tuple[str, tuple[bytes, ...]]
"""A caller's client encoding, and the statements that give a session the caller's settings."""

_COMMITTED = (
    "SELECT pg_current_wal_flush_lsn()::text, pg_current_wal_insert_lsn()::text,"
    " current_setting('synchronous_commit') = 'off', substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8)"
)
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"
_TO_COMMIT = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL, current_setting('synchronous_commit') = 'off'"
_MAY_WRITE = """
    WITH writer AS (
        SELECT oid, proname FROM pg_proc WHERE (provolatile <> 'i' OR prokind = 'a')
        AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    )
    SELECT EXISTS (SELECT FROM writer WHERE lower(proname) = ANY (%s)) OR EXISTS (
        SELECT FROM writer JOIN pg_depend used ON used.refclassid = 'pg_proc'::regclass AND used.refobjid = writer.oid
        WHERE used.classid = ANY ('{pg_rewrite, pg_policy, pg_operator, pg_cast}'::regclass[])
        AND NOT EXISTS (
            SELECT FROM pg_depend part
            WHERE part.classid = 'pg_proc'::regclass AND part.objid = writer.oid AND part.deptype = 'e'
        )
    )"""
# Not the view pg_stat_replication, which takes four times as long.
_UNSENT = "SELECT FROM pg_stat_get_wal_senders() WHERE state = 'streaming' AND sent_lsn < %s"
#: From this version on a sender that is about to sleep can miss a flush: it looks for something to send, and only then
#: lets itself be woken by what comes (Postgres, WalSndWait in walsender.c). Seen for 7 % of commits that came in pairs,
#: which were sent a round trip later, with the next word from the replica.
_SLEEPY_VERSION = 160000
# A flushed record after the position waited for lets the replica replay everything up to it.
_PUSH = "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'fly_orm', ''); COMMIT"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a transaction ends: whether it wrote anything, and whether it commits without waiting for its WAL."""

    wrote: bool = True
    asynchronous: bool = False


class PrimaryConnection:
    """A driver connection in autocommit that returns every value as the bytes that Postgres sent."""

    def __init__(self, connection: Any) -> None:
        self.raw = connection
        self.profile: Profile | None = None
        self._to_send: LSN | None = None
        """The last commit of which it is not known that it was sent to the replicas."""
        connection.autocommit = True
        self._system = self._ask_system()

    def cursor(self) -> Any:
        """A new cursor whose rows hold bytes, except for types that the driver has never heard of."""
        raw_types = self.raw.string_types
        if not ext.string_types.keys() <= raw_types.keys():
            raw_types.update(dict.fromkeys(ext.string_types, ext.BYTES))
        del self.raw.notices[:]
        return self.raw.cursor()

    def take_profile(self, profile: Profile) -> None:
        """Give the session these settings, unless it has them."""
        if profile == self.profile:
            return
        encoding, statements = profile
        if self.profile is not None:
            self._execute("DISCARD ALL")  # what only the last caller had set, its role included
        self.raw.set_client_encoding(encoding)
        with self.raw.cursor() as cursor:
            if self.raw.get_parameter_status("client_encoding") != encoding:
                # The driver has not seen DISCARD ALL, and skips what it believes to be so.
                cursor.execute("SET client_encoding TO %s", (encoding,))
            for statement in statements:
                cursor.execute(statement)
        self.profile = profile

    def clean(self) -> None:
        """Forget what the last caller left in the session, but keep the settings, which the next one likely shares."""
        profile, self.profile = self.profile, None
        if self.raw.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            self._execute("ROLLBACK")
        self._execute("DISCARD ALL")
        if profile is not None:
            self.take_profile(profile)

    def ending(self) -> Ending:
        """What the open transaction's commit will be like."""
        with self.cursor() as cursor:
            cursor.execute(_TO_COMMIT)
            wrote, asynchronous = cursor.fetchone()
            return Ending(wrote=wrote == b"t", asynchronous=asynchronous == b"t")

    def position(self) -> Position:
        """What a replica has replayed once it shows all that this session has read."""
        flushed, _, _, timeline = self._committed()
        return Position(flushed, self._system, timeline)

    def commit_position(self, *, asynchronous: bool = False) -> Position:
        """What a replica has replayed once it shows all that this session has committed.

        The flush position, since a commit returns when its own record is flushed, while the insert position may lie in
        records that others have not flushed for long. With ``synchronous_commit = off`` the flush position can precede
        the commit, and at a page boundary it can lie inside another's record: a small flushed record pushes those out.
        """
        flushed, inserted, is_off, timeline = self._committed()
        asynchronous = asynchronous or is_off
        lsn = inserted if asynchronous else flushed
        if asynchronous or lsn.ends_page:
            self._push()
        elif self.raw.server_version >= _SLEEPY_VERSION:
            self._to_send = lsn
        return Position(lsn, self._system, timeline)

    def wake_senders(self) -> None:
        """See to it that the last commit is sent to the replicas: a flush of something else wakes who slept through it.

        Does nothing for a role that may not see what was sent (it is no member of pg_read_all_stats).
        """
        lsn, self._to_send = self._to_send, None
        if lsn is not None:
            with self.raw.cursor() as cursor:
                cursor.execute(_UNSENT, (str(lsn),))
                if cursor.rowcount:
                    self._push()

    def reads_may_write(self, calls: Iterable[str]) -> bool:
        """Whether queries may write that call functions of these names, in lower case.

        A function that is volatile may (Postgres manual, section 36.7), or calls one, be it called by name or by a
        view, a row security policy, an operator or a cast. Postgres' own are told apart by :mod:`fly_orm.classify`.
        """
        with self.cursor() as cursor:
            cursor.execute(_MAY_WRITE, (list(calls),))
            found: bool = cursor.fetchone()[0] == b"t"
            return found

    def is_stale(self) -> bool:
        """Whether the connection was lost while it was idle: then there is something to read on it."""
        if self.raw.closed:
            return True
        return has_input(self.raw) and not self._answers()

    def break_off(self) -> None:
        """End the connection from any thread: what waits for its server fails at once, even if that is out of reach."""
        break_off(self.raw)

    def close(self) -> None:
        self.raw.close()

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def _committed(self) -> tuple[LSN, LSN, bool, int]:
        """The flush LSN, the insert LSN, whether commits do not wait for the flush, and the timeline."""
        with self.cursor() as cursor:
            cursor.execute(_COMMITTED)
            flushed, inserted, is_off, timeline = cursor.fetchone()
        return LSN.parse(flushed.decode()), LSN.parse(inserted.decode()), is_off == b"t", int(timeline, 16)

    def _ask_system(self) -> int:
        """The identifier of the system; 0 where the database's owner has forbidden to ask."""
        try:
            with self.raw.cursor() as cursor:
                cursor.execute(_SYSTEM)
                return int(cursor.fetchone()[0])
        except psycopg2.errors.InsufficientPrivilege:
            return 0

    def _push(self) -> None:
        try:
            self._execute(_PUSH)
        except psycopg2.Error:
            self._execute("ROLLBACK")

    def _execute(self, sql: str) -> None:
        with self.raw.cursor() as cursor:
            cursor.execute(sql)
