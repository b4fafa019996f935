"""A connection to the primary, opened by fly_orm and used by one caller after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import extensions as ext

from .cursors import bytes_cursor, execute
from .libpq import break_off, has_input
from .pooling import is_pooled, server_pid
from .volatility import reads_may_write
from .write_ahead_log import WriteAheadLog


class Profile(NamedTuple):
    """What a caller's connection has that its statements depend on."""

    encoding: str
    """The client encoding."""
    session_settings: tuple[bytes, ...]
    """The statements that give a Postgres session the caller's session settings."""


class PrimaryConnection:
    """A driver connection in autocommit that returns every value as the bytes that Postgres sent."""

    def __init__(self, connection: Any, pid: int) -> None:
        """``pid`` is the server process that the connection has reached."""
        self.raw = connection
        """The driver's connection."""
        self.profile: Profile | None = None
        connection.autocommit = True
        self._pid = pid
        self.pooled = is_pooled(connection, pid)
        """Whether there is a pooler between this process and the server."""
        self.wal = WriteAheadLog(connection)

    def cursor(self) -> Any:
        """A new cursor whose rows hold bytes, except for types that the driver has never heard of."""
        return bytes_cursor(self.raw)

    @property
    def address(self) -> str:
        """Where this process has connected to, for messages."""
        return f"{self.raw.info.host}:{self.raw.info.port}"

    def apply_profile(self, profile: Profile) -> None:
        """Give the Postgres session a caller's profile, unless it has that profile already."""
        if profile == self.profile:
            return
        if self.profile is not None:
            # Settings that only the last caller had, its role included, must not stay.
            execute(self.raw, "DISCARD ALL")
        self.raw.set_client_encoding(profile.encoding)
        with self.raw.cursor() as cursor:
            if self.raw.get_parameter_status("client_encoding") != profile.encoding:
                # The driver has not noticed DISCARD ALL, and so skips a change that it believes to be none.
                cursor.execute("SET client_encoding TO %s", (profile.encoding,))
            for statement in profile.session_settings:
                cursor.execute(statement)
        self.profile = profile

    def clean(self) -> None:
        """Remove what the last caller left in the Postgres session, but not its profile: the next often shares it."""
        profile, self.profile = self.profile, None
        if self.raw.get_transaction_status() != ext.TRANSACTION_STATUS_IDLE:
            execute(self.raw, "ROLLBACK")
        execute(self.raw, "DISCARD ALL")
        if profile is not None:
            self.apply_profile(profile)

    def reads_may_write(self, function_names: Iterable[str]) -> bool:
        """Whether queries that call functions of these names may write; see :mod:`fly_orm.postgres.volatility`."""
        with self.cursor() as cursor:
            return reads_may_write(cursor, function_names)

    def is_lost(self) -> bool:
        """Whether the connection was lost while it was idle, as far as this process has heard of it."""
        if self.raw.closed:
            return True
        # On an idle connection, input is mostly its end; but it can also be a notice, or a setting that was reloaded.
        return has_input(self.raw) and not self._answers()

    def keeps_session(self) -> bool:
        """Whether the server process is still the one that the connection began with."""
        return server_pid(self.raw) == self._pid

    def break_off(self) -> None:
        """End the connection, from any thread: a thread that waits for the server fails at once."""
        break_off(self.raw)

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()

    def _answers(self) -> bool:
        try:
            execute(self.raw, "SELECT 1")
        except psycopg2.Error:
            return False
        return True
