"""A connection to the primary, opened by fly_orm and used by one caller after another."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2 import extensions as ext

from ..concurrency.pool_places import EXACT
from ..deadline import now
from .client_check import keep_alive, watch_client
from .connecting import server_name
from .cursors import bytes_cursor, execute, text_cursor
from .libpq import break_off, silence_check
from .notices import RecentNotices
from .pooled_session import CLEAN, PooledSession
from .pooling import is_pooled, server_pid
from .profile import Cleaning, Profile
from .role_guard import GuardedCursor, RoleGuard
from .sequences import DISCARD, Sequences
from .transaction_ids import read_run
from .volatility import reads_may_write
from .write_ahead_log import STATE, WriteAheadLog

log = logging.getLogger("fly_orm")

#: Seconds after which a connection is replaced when it is next needed, so that no session outlives for long what
#: ALTER ROLE, ALTER DATABASE or a new configuration have changed.
MAX_AGE = 600.0
#: Bytes of a statement or a result beyond which the connection serves no other caller: libpq's buffers grow to the size
#: of what passes through them, and never shrink (pqCheckInBufferSpace in fe-misc.c).
MAX_BUFFERED = 2**20
_NO_START = (errors.InsufficientPrivilege, errors.InvalidParameterValue, errors.UndefinedObject)


class PrimaryConnection:
    """A driver connection in autocommit that returns every value as the bytes that Postgres sent."""

    def __init__(self, connection: Any, pid: int, sequences: Sequences) -> None:
        """``pid`` is the server process that the connection has reached."""
        self.raw = connection
        """The driver's connection."""
        self.profile: Profile | None = None
        self._guard: RoleGuard | None = None
        """What keeps statements to the roles that the caller may take, if it has another one than the node."""
        self.made: set[str] = set()
        """The customized settings that the Postgres session has had: they can be emptied, but not removed."""
        self.is_new = True
        """Whether no caller has used it."""
        self.is_clean = False
        """Whether it was cleaned since its last caller used it."""
        connection.autocommit = True
        connection.notifies = deque(maxlen=0)  # a caller's LISTEN: what it hears reaches nobody, and must not pile up
        self._pid = pid
        self.pooled = is_pooled(connection, pid)
        """Whether there is a pooler between this process and the server."""
        self.wal = WriteAheadLog(connection)
        self._is_silent = silence_check(connection)
        self._known_types = 0
        """How many types the driver knew when its cursors were told to return bytes for them."""
        self._own_cursor = text_cursor(connection)  # the driver would decode in Python what it fetches as text
        self._own_cursor.string_types.update(dict.fromkeys(self._own_cursor.string_types, ext.BYTES))
        self.server_run = read_run(connection)
        """Identifies the time in which its server gives no id to two transactions."""
        self.session = PooledSession(connection)
        self.has_ledger = False
        """Whether the database is known to have a ledger."""
        self._is_own = True
        """Whether the session has nothing of any caller's."""
        self._at_once: Cleaning | None = None
        self.buffered = 0
        """Bytes of the longest statement or result that its last caller has passed through it as a whole."""
        self._to_clean = [CLEAN, *filter(None, (watch_client(connection), keep_alive(connection)))]
        self._sequences = sequences
        sequences.look(connection)
        self._keeps_sequences = False
        """Whether the session knows of sequences what earlier callers did with them."""
        self._opened = now()

    def cursor(self, factory: type[ext.cursor] = ext.cursor) -> Any:
        """A new cursor whose rows hold bytes, except for types that the driver has never heard of."""
        types = len(ext.string_types)
        if types != self._known_types:
            bytes_cursor(self.raw)
            self._known_types = types
        if self.raw.notices:
            self.raw.notices = RecentNotices()
        return factory(self.raw)

    def callers_cursor(self, *, may_change_role: bool) -> Any:
        """A cursor for a caller's statements, which keeps them to the roles that the caller may take.

        ``may_change_role`` says whether functions or code that they call may change the role.
        """
        guard = self._guard
        if guard is None:
            return self.cursor()
        cursor = self.cursor(GuardedCursor)
        cursor.guard, cursor.may_change_role = guard, may_change_role
        return cursor

    @property
    def address(self) -> str:
        """Where this process has connected to, for messages."""
        return server_name(self.raw.info.host, self.raw.info.port)

    @property
    def start_settings(self) -> dict[str, str] | None:
        """The settings that its caller's session has begun with; None if they are the pool's own."""
        start = None if self.profile is None else self.profile.start
        return None if start is None else dict(start.settings)

    def suits(self, profile: Profile, made: Collection[str]) -> int:
        """How well the connection suits a caller with this profile; 0 if another one has to take its place.

        ``made`` are the customized settings that the caller's own session has had. Any other that this one has had
        would be empty for the caller, and not missing.
        """
        if not self.is_new:
            begun = profile.start.customized if self.made and profile.start else ()
            if now() > self._opened + MAX_AGE or (self.made and not self.made.issubset([*made, *begun])):
                return 0
        return EXACT if self.profile == profile else 1

    def is_prepared(self, profile: Profile, made: Collection[str]) -> bool:
        """Whether a caller with this profile, for whom it was idle, may use it without anything being asked before."""
        return (
            self.suits(profile, made) == EXACT
            and self.is_clean
            and not (self.pooled or self.raw.closed)
            and self._is_silent()
        )

    def would_begin_differently(self, profile: Profile) -> bool:
        """Whether a new connection would have another start than this one, as the caller's session has."""
        start = profile.start
        if self.is_new or start is None or profile == self.profile or start.settings == self.session.own.settings:
            return False
        return self.session.is_outdated()

    def apply_profile(self, profile: Profile) -> None:
        """Give the Postgres session a caller's profile, unless it has that profile already.

        Refused if the role of the connection does not allow it to begin as the caller's session has.
        """
        if profile == self.profile:
            return
        try:
            self._take_on(profile, [] if self._is_own else self._to_clean)
        except _NO_START as error:
            if self.is_new or not isinstance(error, psycopg2.DataError):  # a new session may accept the value
                self._check_start(profile, error)
            raise

    def begin(self, sqls: Collection[bytes]) -> None:
        """Note the first statements of a caller, which are about to run."""
        if self._keeps_sequences and self._sequences.note(sqls):
            self._execute([DISCARD])
            self._keeps_sequences = False

    def go_on(self, sqls: Collection[bytes]) -> None:
        """Note further statements of the same caller, which may have called ``nextval()`` before."""
        if self._keeps_sequences:
            self._sequences.note(sqls)

    def restore(self, names: Collection[str]) -> None:
        """Give settings that a statement has reset what the caller's session has begun with.

        The caller has asked for its own session's start, and got that of this one. If that cannot be mended outside of
        a transaction, where the statements are committed, the connection is closed.
        """
        transaction = self.raw.get_transaction_status()
        if self.profile is None or transaction == ext.TRANSACTION_STATUS_INERROR:
            return
        try:
            if names:
                self._execute(self.session.statements_inside(self.profile.start, names))
        except psycopg2.Error as error:
            if transaction != ext.TRANSACTION_STATUS_IDLE:
                raise
            log.warning(
                "a session on the primary did not get back what its caller's began with: %s",
                error,
                extra={"event": "session_not_restored", "problem": str(error)},
            )
            self.close()

    def clean(self) -> None:
        """Remove what the last caller left in the Postgres session, but not its profile: the next often shares it.

        The session is the node's own again if the caller's role was another one.
        """
        profile, self.profile, self._guard = self.profile, None, None
        if self.raw.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            execute(self.raw, "ROLLBACK")
        self._sequences.look(self.raw)
        self._keeps_sequences = self._sequences.are_kept is True
        if profile is not None and not self.session.acts_as_another(profile.start):
            self._take_on(profile, self._cleaning)
        else:
            self._execute(self._cleaning)
            self._is_own = True
        self.is_clean = True

    def clean_at_once(self, commit: bytes | None = None, *, is_followed: bool = False) -> str | None:
        """Clean the session, which is idle, in one string with the question for the state of the write-ahead log.

        Returns the answer (see :attr:`WriteAheadLog.question`), or None if that has not been possible. ``commit`` is to
        be executed before, in the same string, and leaves no transaction open. It is not executed if this returns None;
        if it fails, or anything behind it, psycopg2's error is raised. ``is_followed`` says that commits of others are
        about to follow, so that this one need not find out whether it was sent.
        """
        profile, keeps = self.profile, self._sequences.are_kept
        if profile is None or keeps is None:
            return None
        at_once = self._at_once
        if at_once is None or at_once.keeps != keeps or at_once.profile != profile:
            at_once = self._at_once = self._cleaning_for(profile, keeps)
        if not (at_once.is_ascii or self._has_encoding(profile.encoding)):
            return None
        try:
            question = STATE if is_followed else self.wal.question
            self._own_cursor.execute(b"\n;".join([*([] if commit is None else [commit]), at_once.sql, question]))
            state: bytes = self._own_cursor.fetchone()[0]
        except psycopg2.Error:
            if self.raw.closed or commit is not None:
                raise
            return None  # clean() will tell
        if at_once.is_own:
            self.profile = self._guard = None
        self._is_own, self._keeps_sequences, self.is_clean = at_once.is_own, keeps, True
        return state.decode("ascii")

    def _cleaning_for(self, profile: Profile, keeps: bool) -> Cleaning:
        is_own = self.session.acts_as_another(profile.start)
        start = self.session.statements(profile.start)
        again = [] if is_own else [profile.set_encoding, *start, *profile.session_settings]
        sql = b"\n;".join([*self._to_clean, *([] if keeps else [DISCARD]), *again])
        return Cleaning(profile, keeps, is_own, sql, sql.isascii())

    @property
    def is_ready(self) -> bool:
        """Whether the next caller may use it, whatever :meth:`tidy` has to do for the last commit."""
        return self.is_clean and self._sequences.are_known

    def tidy(self) -> None:
        """Do what its last caller need not wait for: clean it, unless that was done at once, and wake WAL senders."""
        if not self.is_clean:
            self.clean()
        self._sequences.look(self.raw)
        self.wal.wake_senders()

    def reads_may_write(self, function_names: Iterable[str]) -> bool:
        """Whether queries that call functions of these names may write; see :mod:`fly_orm.postgres.volatility`."""
        with self.cursor() as cursor:
            return reads_may_write(cursor, function_names)

    def is_lost(self) -> bool:
        """Whether the connection was lost while it was idle, as far as this process has heard of it."""
        if self.raw.closed:
            return True
        # On an idle connection, input is mostly its end; but it can also be a notice, or a setting that was reloaded.
        return not self._is_silent() and not self._answers()

    def keeps_session(self) -> bool:
        """Whether the server process is still the one that the connection began with."""
        return server_pid(self.raw) == self._pid

    def break_off(self) -> None:
        """End the connection, from any thread: a thread that waits for the server fails at once."""
        break_off(self.raw)

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()

    @property
    def _cleaning(self) -> list[bytes]:
        return self._to_clean if self._keeps_sequences else [*self._to_clean, DISCARD]

    def _take_on(self, profile: Profile, statements: list[bytes]) -> None:
        """Execute statements and give the session the profile; in one string if the client encoding stays the same."""
        self.profile, self._guard, self._is_own = None, None, False
        if not self._has_encoding(profile.encoding):
            self._execute(statements)
            statements = []
            self._set_encoding(profile.encoding)
        self.made.update(profile.start.customized if profile.start else ())
        encoding = [profile.set_encoding] if statements else []  # as they reset it
        self._execute([*statements, *encoding, *self.session.statements(profile.start), *profile.session_settings])
        if profile.start is not None and self.session.acts_as_another(profile.start):
            guard = RoleGuard(self.raw, self.session, profile.start)
            guard.check_settings(profile.session_settings)
            self._guard = guard
        self.profile = profile

    def _check_start(self, profile: Profile, error: psycopg2.Error) -> None:
        """Raise Refused if it was the start of the caller's session that the server did not accept."""
        if profile.start is None:
            return
        try:
            self._execute([*self._to_clean, *self.session.statements(profile.start)])
        except _NO_START as refused:
            raise self.session.refusal(profile.start, refused) from error

    def _has_encoding(self, encoding: str) -> bool:
        """Whether the server and the driver agree that this is the client encoding."""
        driver: str = self.raw.encoding
        return self.raw.get_parameter_status("client_encoding") == encoding and driver == _normal(encoding)

    def _set_encoding(self, encoding: str) -> None:
        self.raw.set_client_encoding(encoding)
        if self.raw.get_parameter_status("client_encoding") != encoding:
            # The driver has not noticed that it was reset, and so skips a change that it believes to be none.
            self._execute([f"SET client_encoding TO '{encoding}'".encode()])

    def _execute(self, statements: Collection[bytes]) -> None:
        """Execute statements in one string, whose effects last only if all of them succeed."""
        if statements:
            with self.raw.cursor() as cursor:
                cursor.execute(b"\n;".join(statements))

    def _answers(self) -> bool:
        try:
            execute(self.raw, "SELECT 1")
        except psycopg2.Error:
            return False
        return True


@cache
def _normal(encoding: str) -> str:
    """The name of an encoding as the driver has it."""
    return "".join(filter(str.isalnum, encoding)).upper()
