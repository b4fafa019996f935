"""Which server a connection has reached: an address may lead to several, and a restart makes another one."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..postgres.connecting import server_name
from ..postgres.cursors import text_cursor

# Any role may ask. When a backend crashes, the postmaster lives on and restarts the server below it, which resets the
# statistics. The times are numbers, with microseconds, so that the session's time zone does not change them.
_QUERY = """
    SELECT extract(epoch FROM pg_postmaster_start_time())::text,
        coalesce((SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)::text, ''),
        inet_server_addr()::text, current_setting('port'), pg_backend_pid()::text
"""


class Instance(NamedTuple):
    """One run of one Postgres server. What it has replayed only grows."""

    started: str
    """When its postmaster started, in seconds since the epoch."""
    reset: str
    """When it began to count its statistics: after a crash, it begins anew."""
    address: str | None
    """Its own IP address; None over a Unix socket."""
    port: str

    @property
    def place(self) -> tuple[str | None, str]:
        """Where the server listens, which a restart does not change."""
        return self.address, self.port

    @property
    def run(self) -> str:
        """Identifies this run, whatever the address that it was reached at."""
        return f"{self.started} {self.reset}"

    def __str__(self) -> str:
        return server_name(self.address, self.port)


#: Stands for a primary that a session has used directly, among the servers that it has read.
THE_PRIMARY = Instance("", "", None, "")


def read_instance(connection: Any) -> Instance | None:
    """The server instance that a connection stays with; None behind a pooler, which may change it at any time."""
    return read_instance_and(connection)[0]


def read_instance_and(connection: Any, *columns: str) -> tuple[Instance | None, list[str | None]]:
    """The same, with the values of more columns, which cost no question of their own.

    A pooler tells libpq a process id of its own, with which it recognizes cancel requests, while the process that
    answers has another.
    """
    instance, pid, values = _ask(connection, *columns)
    return instance if pid == connection.get_backend_pid() else None, values


def ask_instance(connection: Any) -> Instance:
    """The server instance that answers over a connection now, also behind a pooler."""
    return _ask(connection)[0]


def _ask(connection: Any, *columns: str) -> tuple[Instance, int, list[str | None]]:
    with text_cursor(connection) as cursor:
        cursor.execute(", ".join([_QUERY, *columns]))
        started, reset, address, port, pid, *values = cursor.fetchone()
    return Instance(started, reset, address, port), int(pid), values
