"""Which server a connection has reached: an address may lead to several, and a restart makes another one."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg2 import extensions as ext

# Any role may ask. The start is a number, with microseconds, so that the session's time zone does not change it.
_QUERY = (
    "SELECT extract(epoch FROM pg_postmaster_start_time())::text, inet_server_addr()::text,"
    " current_setting('port'), pg_backend_pid()"
)


class Instance(NamedTuple):
    """One run of one Postgres server. What it has replayed only grows."""

    started: str
    """When it started, in seconds since the epoch."""
    address: str | None
    """Its own IP address; None over a Unix socket."""
    port: str

    def __str__(self) -> str:
        return f"{self.address or 'localhost'}:{self.port}"


def read_instance(connection: Any) -> Instance | None:
    """The server instance that a connection stays with; None behind a pooler, which may change it at any time.

    A pooler tells libpq a process id of its own, with which it recognizes cancel requests, while the process that
    answers has another.
    """
    with ext.cursor(connection) as cursor:
        cursor.execute(_QUERY)
        started, address, port, pid = cursor.fetchone() or ("", None, "", 0)
    if pid != connection.get_backend_pid():
        return None
    return Instance(started, address, port)
