"""A pool of connections to one primary, which callers use one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import psycopg2

from ..concurrency import patience
from ..concurrency.pool import PoolTimeout
from ..concurrency.resizable_pool import ResizablePool
from ..concurrency.timer import Timer
from ..deadline import Deadline, now
from ..errors import NotPrimary, Refused
from ..position import History, Position
from ..protocol import reasons
from .cleaner import CLEAN_TIMEOUT, Cleaner
from .libpq import break_off
from .making_way import occupy
from .pooled_session import PooledSession, warn_of_superuser
from .pooling import SessionCheck, is_pooled, server_pid
from .primary_connection import MAX_BUFFERED, PrimaryConnection
from .profile import Profile
from .recovery import is_replica
from .running_statement import RunningStatement
from .sequences import Sequences
from .starting import Start
from .timelines import check_current
from .unsent_commit import UnsentCommit
from .watchdog import Watchdog
from .write_ahead_log import Commit

#: Seconds within which a connection must have taken on its caller's session settings. These are statements of the
#: caller's, which nobody could cancel.
SETTINGS_TIMEOUT = 10.0
#: Classes of SQLSTATEs with which a server refuses a setting (Postgres manual, appendix A). Others mean that it, or the
#: connection, is in trouble.
_OF_SETTINGS = frozenset({"0A", "22", "42", "55"})
#: Seconds for which a pool that makes way keeps no idle connection; DROP DATABASE waits 5 seconds for others to go.
MAKE_WAY = 6.0


class PrimaryPool:
    """At most ``max_size`` connections to one primary, cleaned between callers. Thread-safe.

    Connections that nobody uses are closed after some seconds, and the cleaner's thread ends with the last of them. One
    stays for longer where use recurs (:class:`~fly_orm.concurrency.patience.Patience`).

    name: the database's name in errors, logs and thread names.
    connect: opens a driver connection in autocommit.
    keeps_sessions: whether a caller may rely on the Postgres session from one statement to the next. The pool then
    refuses connections through a pooler that changes it in between.
    verify: raises NotPrimary if a driver connection has reached a server that must not be written; it may take until
    the deadline to find out.
    on_replica: is called with a driver connection that has reached a replica.
    max_result_bytes: how much the statements of callers' session settings may return; None is no limit.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Any],
        *,
        max_size: int,
        keeps_sessions: bool = False,
        verify: Callable[[Any, Deadline], None] = lambda _connection, _deadline: None,
        on_replica: Callable[[Any], None] = lambda _connection: None,
        max_result_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.comes_later = False
        """Whether the database may not be there yet."""
        self.database: str | None = None
        """The name of the Postgres database, once a connection has been opened."""
        self._verify, self._on_replica = verify, on_replica
        self._connect = connect
        self.places = self._pool = ResizablePool(self._open, PrimaryConnection.close, max_size=max_size)
        self._patience = patience.Patience()
        self._way_until = 0.0
        occupy(self)
        self._timer = Timer(f"the timer of {name}")
        self._unsent = UnsentCommit()
        self._cleaner = Cleaner(name, self._pool, self._unsent, self._timer, self._close_idle)
        self._watch = None if max_result_bytes is None else Watchdog(self._timer, max_result_bytes)
        self._sequences = Sequences()
        self._has_warned = False
        self._sessions = SessionCheck(name, connect, self._timer) if keeps_sessions else None

    def acquire(
        self,
        profile: Profile,
        deadline: Deadline,
        newest: Collection[History] = (),
        *,
        made: Collection[str] = (),
        requested: Collection[str] | None = None,
    ) -> PrimaryConnection:
        """A connection with this profile, for the caller alone, who must release it.

        ``newest`` are the newest timelines of the database that the caller has seen. ``made`` are the customized
        settings that the caller's session has ever given a value. With ``requested``, the profile's start becomes that
        of a session which begins now, but for these settings.

        PoolTimeout if all connections stay in use until the deadline, NotPrimary if the server is a replica or on an
        older timeline, Refused if a pooler does not keep the Postgres session, the pool's role may not act as the
        caller's, or the server does not accept the profile; psycopg2's error if the server cannot be reached. Nothing
        has been executed then.
        """
        connection = self._pool.acquire(deadline, partial(PrimaryConnection.suits, profile=profile, made=made))
        if requested is None and connection.is_prepared(profile, made):
            connection.is_clean = False
            if newest and {*newest} != {connection.wal.history}:
                self._check_current(connection, newest)
            return connection
        while not (connection.suits(profile, made) and self._prepare(connection, profile, deadline, requested)):
            connection = self._pool.replace(connection, deadline)
        self._check_current(connection, newest)
        return connection

    def _prepare(
        self,
        connection: PrimaryConnection,
        profile: Profile,
        deadline: Deadline,
        requested: Collection[str] | None,
    ) -> bool:
        """Give the connection the profile by the deadline; False if a new connection has to take its place.

        That is so if it was lost while it was idle, and if a caller has left something that does not go with the
        profile: ``temp_buffers`` cannot change any more once a session has had a temporary table.
        """
        try:
            # psycopg2 has no timeout for a query: to shut the connection down is what ends one on a dead server.
            with self._timer.limit(deadline.within(SETTINGS_TIMEOUT).remaining(), connection.break_off):
                if connection.is_lost():
                    return False
                if self._sessions and connection.pooled:
                    self._sessions.check_again(connection)
                if requested is not None and profile.start is not None:
                    start = connection.session.as_of_now(profile.start, requested)
                    profile = msgspec.structs.replace(profile, start=start)
                if connection.would_begin_differently(profile):
                    return False
                try:
                    with self._watched(connection, profile):
                        connection.apply_profile(profile)
                except psycopg2.Error as error:
                    if (error.pgcode or "")[:2] not in _OF_SETTINGS:
                        raise
                    if not connection.is_new:
                        return False
                    raise self._refused(error) from error
                connection.is_new = connection.is_clean = False
                self._warn_of_superuser(connection.session, profile.start)
                return True
        except BaseException:
            self._pool.discard(connection)
            raise

    @contextmanager
    def _watched(self, connection: PrimaryConnection, profile: Profile) -> Iterator[None]:
        """A block that gives the connection the profile, and is cancelled if a caller's settings return too much."""
        if self._watch is None or not profile.session_settings or profile == connection.profile:
            yield
            return
        running = RunningStatement(connection.raw)
        self._watch.begin(running)
        try:
            yield
        finally:
            self._watch.end(running)
            running.end()

    def _warn_of_superuser(self, session: PooledSession, start: Start | None) -> None:
        """Say once that callers of other roles are served by a superuser's session."""
        if start is None or self._has_warned or not (session.is_superuser and session.acts_as_another(start)):
            return
        self._has_warned = True
        warn_of_superuser(self.name, session, start)

    def _refused(self, error: psycopg2.Error) -> Refused:
        return Refused(
            f"the primary of {self.name!r} does not accept the caller's session settings: {str(error).strip()}. "
            "Nothing was executed",
            reason=reasons.SESSION_SETTINGS,
        )

    @property
    def is_shared(self) -> bool:
        """Whether more than one caller uses a connection at the moment."""
        return self._pool.in_use > 1

    def release(self, connection: PrimaryConnection) -> None:
        """Take a connection back. Unless it is clean, that is done in the background, so that no reply waits for it."""
        self._patience.used()
        if connection.buffered > MAX_BUFFERED:
            self._pool.discard(connection)
            return
        if connection.is_ready:
            wal = connection.wal
            look = (wal.to_send is not None or self._unsent.lsn is not None) and self._unsent.note(wal)
            self._pool.release(connection)
            self._cleaner.watch()
            if look:
                self._cleaner.look_later()
        elif not self._cleaner.take(connection):
            self._pool.discard(connection)

    def check(self, newest: Collection[History] = ()) -> None:
        """Raise NotPrimary, Refused or psycopg2's error, as :meth:`acquire` would, if there is no primary to use."""
        try:
            connection = self._acquire_any()
        except PoolTimeout:
            return  # all connections are in use, so there is a primary
        self._check_current(connection, newest)
        self._pool.release(connection)
        self._patience.used()
        self._cleaner.watch(look=True)

    def position_after(self, commit: Commit) -> Position | None:
        """The position that a replica must replay to show a commit of another connection; None if none is free to ask.

        psycopg2's error if the server does not answer.
        """
        try:
            connection = self._acquire_any()
        except (PoolTimeout, NotPrimary, Refused):
            return None
        try:
            with self._timer.limit(CLEAN_TIMEOUT, connection.break_off):
                position = connection.wal.position_after(commit)
        except BaseException:
            self._pool.discard(connection)
            raise
        self.release(connection)
        return position

    def _acquire_any(self) -> PrimaryConnection:
        """A connection with whatever profile it has, if one is free or can be opened at once; PoolTimeout if not."""
        while (connection := self._pool.acquire(Deadline.after(0))).is_lost():
            self._pool.discard(connection)
        return connection

    def _check_current(self, connection: PrimaryConnection, newest: Collection[History]) -> None:
        """Discard the connection and raise NotPrimary if its server was superseded, as the newest timelines tell."""
        try:
            check_current(self.name, connection, newest)
        except NotPrimary:
            self._pool.discard(connection)  # the address may lead to the new primary by now
            raise

    def make_way(self) -> None:
        """Close the idle connections, and for some seconds those that become idle; see :func:`.making_way.occupy`."""
        self._way_until = now() + MAKE_WAY
        self._pool.close_idle(0)

    def close(self) -> None:
        """Close the idle connections now, and the others when they are released."""
        self._pool.close()  # first, so that what the cleaner still returns to the pool is closed
        self._cleaner.close()
        self._timer.close()

    def _open(self, deadline: Deadline) -> PrimaryConnection:
        if self._pool.size == 1:
            self._patience.opened()
        raw = self._connect()
        try:
            with self._timer.limit(CLEAN_TIMEOUT, lambda: break_off(raw)):
                raw.autocommit = True
                self.database = raw.info.dbname
                pid = server_pid(raw)
                self._check_primary(raw, pooled=is_pooled(raw, pid))
                connection = PrimaryConnection(raw, pid, self._sequences)
            if self._sessions and connection.pooled:
                self._sessions.check(connection)
            self._verify(raw, deadline)
        except (psycopg2.Error, Refused):
            raw.close()
            raise
        return connection

    def _check_primary(self, raw: Any, *, pooled: bool) -> None:
        if is_replica(raw, pooled=pooled):
            self._on_replica(raw)
            raise NotPrimary(
                f"the database {self.name!r} of this node is a replica (pg_is_in_recovery() is true there)"
            )

    def _close_idle(self) -> float:
        if now() < self._way_until:
            left = self._pool.close_idle(0)
        else:
            left = self._pool.close_idle(patience.SHORTEST, last=self._patience.seconds)
        return self._patience.seconds if left is None else left
