"""A primary and a streaming replica, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from time import sleep
from types import TracebackType
from typing import Any

from psycopg2.extensions import make_dsn, quote_ident

from fly_orm.deadline import Deadline

from .account import server_account
from .binaries import find_binaries, inspect
from .folder import Folder
from .hindrance import hindrances, is_paused
from .server import POLL_INTERVAL, USER, Server
from .software import Software, install
from .wan import Wan

PRIMARY_PORT, REPLICA_PORT = 5432, 5433
PROMOTE_TIMEOUT = 60

#: Fast, since nothing has to survive a crash of the machine; small; and reachable only through Unix sockets.
SETTINGS: Mapping[str, object] = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # files in the data folder, which a crash does not leave behind
    "max_wal_size": "128MB",
    "wal_keep_size": "256MB",  # so that a replica can resume after it was stopped for a while
    "wal_retrieve_retry_interval": "50ms",  # so that a replica reconnects soon after its primary is back
    "timezone": "UTC",
}


#: In milliseconds.
_APPLY_DELAY = "SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay'"


class Cluster:
    """A running primary and its streaming replica, which disappear with the process that started them.

    :attr:`primary` and :attr:`replica` are the two servers. Connect with ``cluster.replica.connect("orders")``, or give
    ``params("orders")`` or ``dsn("orders")`` to another library. An ORM takes the server's ``host``, the folder of its
    Unix socket, and its ``port``. The user is ``postgres``, a superuser whom row-level security does not restrict.
    ``docs/testing.md`` has examples.

    Only one thread may call the methods of a cluster at a time. Any number of threads may use its servers.
    """

    def __init__(self, folder: Folder, software: Software, settings: Mapping[str, object]) -> None:
        self._folder = folder
        self._software = software
        self._settings = {**SETTINGS, **settings}
        self._sockets = str(folder.subfolder("sockets"))
        self.primary = self._server("primary", PRIMARY_PORT)
        self.replica = self._server("replica", REPLICA_PORT)
        self._others: list[Server] = []
        self.replication_link: Wan | None = None
        """The network between the primary and the replica, if ``replication_rtt`` asked for one."""

    @classmethod
    def start(
        cls,
        *,
        settings: Mapping[str, object] | None = None,
        replication_rtt: float | None = None,
        programs: Path | None = None,
    ) -> Cluster:
        """A new cluster; both servers accept queries when this returns.

        settings: server settings, added to the ``postgresql.conf`` of both servers.
        replication_rtt: seconds, 0 or more. The replica then streams through :attr:`replication_link`, a network with
        this round-trip time that can be slowed down and cut. None is a direct connection.
        programs: the folder of the PostgreSQL to use, instead of the one that is found.

        PostgresNotFound if no PostgreSQL is installed, RuntimeError if a server does not start.
        """
        binaries = inspect(programs, "programs") if programs else find_binaries()
        with ExitStack() as undo:
            folder = Folder(server_account())
            undo.callback(folder.close)
            cluster = cls(folder, install(binaries, folder), settings or {})
            undo.callback(cluster.close)
            cluster._start_primary()
            cluster._start_replica(replication_rtt)
            undo.pop_all()
        return cluster

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers and remove every trace of them. Does nothing the second time, or in a forked process."""
        if not self._folder.mine:
            return
        with ExitStack() as last:
            last.callback(self._folder.close)
            if self.replication_link:
                last.callback(self.replication_link.close)
            for server in (self.primary, self.replica, *self._others):
                last.callback(server.stop, "immediate")

    def add_replica(self) -> Server:
        """Another replica of the primary, for another region; it accepts queries when this returns."""
        number = len(self._others) + 2
        other = self._server(f"replica {number}", REPLICA_PORT + number - 1)
        self._others.append(other)
        self._copy(other, self.primary.params())
        other.start()
        return other

    def create_database(self, name: str) -> None:
        """Create the database ``name`` on the primary."""
        self._on_primary(creation, name)

    def drop_database(self, name: str) -> None:
        """Drop the database ``name``, if it exists, and end the connections to it."""
        self._on_primary(removal, name)

    def pause_replay(self, *servers: Server) -> None:
        """Pause the replay of the replica, or else of these servers.

        They still receive what is committed from now on, but do not show it.
        """
        for server in servers or (self.replica,):
            server.query("SELECT pg_wal_replay_pause()")
            state = partial(server.query, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
            _poll(state, f"replay of the {server.name} is not paused")

    def resume_replay(self, *servers: Server) -> None:
        """Let the replica, or else these servers, catch up. Does nothing to servers whose replay is not paused."""
        for server in servers or (self.replica,):
            server.query("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")

    @contextmanager
    def replay_paused(self, *servers: Server) -> Iterator[None]:
        """Pause the replay of the replica, or else of these servers, for the duration of the block.

        Afterwards, replay goes on where it did before.
        """
        going_on = [server for server in servers or (self.replica,) if not is_paused(server)]
        with ExitStack() as undo:
            for server in going_on:
                undo.callback(self.resume_replay, server)
                self.pause_replay(server)
            yield

    def apply_delay(self, seconds: float, *servers: Server) -> AbstractContextManager[object]:
        """Make the replica, or else these servers, replay each commit ``seconds`` after it happened; 0 is at once.

        The delay lasts until the next call. In a ``with`` statement, each server has the delay that it had before when
        the block ends.
        """
        undo = ExitStack()
        for server in servers or (self.replica,):
            undo.callback(self._set_apply_delay, server, server.query(_APPLY_DELAY))
            self._set_apply_delay(server, f"{round(seconds * 1000)}")
        return undo

    def wait_for_replica(self, *servers: Server, timeout: float = 30) -> None:
        """Wait until the replica, or else these servers, have replayed everything that the primary has flushed by now.

        TimeoutError if that takes longer than ``timeout`` seconds, with what may hold the server up.
        """
        target = self.primary.query("SELECT pg_current_wal_flush_lsn()::text")
        for server in servers or (self.replica,):
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                replayed = partial(_replayed, cursor, target)
                try:
                    _poll(replayed, f"the {server.name} has not replayed {target}", timeout)
                except TimeoutError as error:
                    raise TimeoutError(f"{error}: {hindrances(server) or 'nothing holds it up'}") from None

    def promote(self) -> None:
        """Promote the replica. The old primary goes on.

        The names stay with the servers: :attr:`replica` is the new primary, and :attr:`primary` the old one.
        """
        if not self.replica.query("SELECT pg_promote(true, %s)", PROMOTE_TIMEOUT):
            raise TimeoutError(f"the replica was not promoted within {PROMOTE_TIMEOUT} s; see {self.replica.log}")

    def demote(self) -> None:
        """Make the old primary a replica of the promoted server; call it after :meth:`promote`.

        If the old primary wrote nothing after the promotion, it follows the new timeline. Otherwise it stays on the old
        one: it accepts reads, but replays nothing.
        """
        self.follow(self.primary, self.replica)

    def follow(self, server: Server, source: Server) -> None:
        """Restart a server as a replica of ``source``, which it streams from.

        A server that has written or replayed what ``source`` lacks stays on its own timeline; see :meth:`rebuild`.
        """
        server.stop()
        _let_stream(server, source.params())
        server.start()

    def rebuild(self, server: Server, source: Server) -> None:
        """Replace a server's data with a copy of that of ``source``, and start it as a replica of it."""
        server.stop("immediate")
        for path in server.data.iterdir():
            if path.is_dir():
                rmtree(path)
            else:
                path.unlink()
        self._copy(server, source.params())
        server.start()

    def _server(self, name: str, port: int) -> Server:
        data, log = self._folder.subfolder(name), self._folder.path / f"{name}.log"
        return Server(self._software, name=name, data=data, log=log, host=self._sockets, port=port)

    def _start_primary(self) -> None:
        data = self.primary.data
        self._software.run(
            "initdb", "--pgdata", str(data), "--username", USER, "--encoding", "UTF8", "--locale", "C",
            "--auth-local", "trust", "--auth-host", "reject", "--no-sync", "--no-instructions",
        )  # fmt: skip
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {_quote(value)}\n" for name, value in self._settings.items())
        self.primary.start()

    def _start_replica(self, rtt: float | None) -> None:
        source = self.primary.params()
        if rtt is not None:
            source["host"] = self._open_link()
        self._copy(self.replica, source)
        if self.replication_link:
            self.replication_link.rtt = rtt or 0.0  # after the copy, which would take long
        self.replica.start()

    def _copy(self, server: Server, source: Mapping[str, Any]) -> None:
        """Copy the data of ``source``, given as connection parameters, to a server, which will stream from there."""
        self._software.run(
            "pg_basebackup", "--pgdata", str(server.data), "--dbname", make_dsn(**source),
            "--checkpoint", "fast", "--no-sync", "--no-manifest",
        )  # fmt: skip
        _let_stream(server, source)

    def _open_link(self) -> str:
        """The folder of the Unix socket through which the primary is reached over the replication link."""
        socket = self._folder.path / f".s.PGSQL.{PRIMARY_PORT}"
        self.replication_link = Wan(f"{self._sockets}/{socket.name}", listen=str(socket))
        if self._folder.account:
            self._folder.account.give(socket)
        return str(socket.parent)

    def _on_primary(self, statement: Callable[[Any, str], str], name: str) -> None:
        con = self.primary.connect()
        try:
            con.cursor().execute(statement(con, name))
        finally:
            con.close()

    def _set_apply_delay(self, server: Server, milliseconds: str) -> None:
        # The main process signals its children, replay included, before it starts new sessions with the new setting.
        server.query("ALTER SYSTEM SET recovery_min_apply_delay = %s", milliseconds)
        server.query("SELECT pg_reload_conf()")
        in_effect = partial(server.query, f"SELECT ({_APPLY_DELAY}) = %s", milliseconds)
        _poll(in_effect, f"the apply delay of the {server.name} is not in effect")


def _let_stream(server: Server, source: Mapping[str, Any]) -> None:
    """Make a stopped server a replica of ``source``, given as connection parameters, when it is started."""
    # pg_basebackup could do this, but names all options of its own libpq, of which an older server's lacks some.
    with (server.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = {_quote(make_dsn(**source))}\n")
    (server.data / "standby.signal").touch()


def creation(con: Any, name: str) -> str:
    """The statement that creates a database."""
    return f"CREATE DATABASE {quote_ident(name, con)}"


def removal(con: Any, name: str) -> str:
    """The statement that drops a database, if it exists, and ends the connections to it."""
    return f"DROP DATABASE IF EXISTS {quote_ident(name, con)} WITH (FORCE)"


def _replayed(cursor: Any, lsn: str) -> bool:
    cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,))
    return bool(cursor.fetchone() == (True,))


def _poll(condition: Callable[[], bool], complaint: str, timeout: float = 30) -> None:
    """Wait until ``condition`` is true; TimeoutError with ``complaint`` after ``timeout`` seconds."""
    deadline = Deadline.after(timeout)
    while not condition():
        if deadline.expired:
            raise TimeoutError(f"{complaint} after {timeout:g} s")
        sleep(POLL_INTERVAL)


def _quote(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
