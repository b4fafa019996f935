"""A primary and a streaming replica, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any

from psycopg2.extensions import make_dsn, quote_ident

from fly_orm.deadline import Deadline

from .account import server_account
from .binaries import find_binaries, inspect
from .folder import Folder
from .server import POLL_INTERVAL, USER, Server
from .software import Software, install
from .wan import Wan

PRIMARY_PORT, REPLICA_PORT = 5432, 5433
PROMOTE_TIMEOUT = 60

#: Fast because nothing has to survive the machine, small, and reachable through Unix sockets only.
SETTINGS: Mapping[str, object] = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # files in the data folder: nothing is left behind after a crash
    "max_wal_size": "128MB",
    "wal_keep_size": "256MB",  # a replica that was stopped for a while can go on
    "wal_retrieve_retry_interval": "50ms",  # and one whose primary was away comes back at once
    "timezone": "UTC",
}


class Cluster:
    """A running primary and its streaming replica, which disappear with the process that started them.

    One thread at a time changes a cluster; any number use its servers.
    """

    def __init__(self, folder: Folder, software: Software, settings: Mapping[str, object]) -> None:
        self._folder = folder
        self._software = software
        self._settings = {**SETTINGS, **settings}
        self._sockets = str(folder.subfolder("sockets"))
        self.primary = self._server("primary", PRIMARY_PORT)
        self.replica = self._server("replica", REPLICA_PORT)
        self._others: list[Server] = []
        #: The network between the two, if one was asked for.
        self.replication_link: Wan | None = None

    @classmethod
    def start(
        cls,
        *,
        settings: Mapping[str, object] | None = None,
        replication_rtt: float | None = None,
        programs: Path | None = None,
    ) -> Cluster:
        """A new cluster, both of whose servers accept queries.

        ``settings`` are added to both servers' ``postgresql.conf``. With ``replication_rtt``, in seconds and
        possibly 0, the replica streams through :attr:`replication_link`, where that can be changed and cut.
        ``programs`` is the folder of another PostgreSQL than the one that is found, for instance of a newer version.
        PostgresNotFound if no PostgreSQL is installed; RuntimeError if a server does not start.
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
        """Stop both servers and remove every trace of them. Does nothing the second time, or in a forked process."""
        if not self._folder.mine:
            return
        with ExitStack() as last:
            last.callback(self._folder.close)
            if self.replication_link:
                last.callback(self.replication_link.close)
            for server in (self.primary, self.replica, *self._others):
                last.callback(server.stop, "immediate")

    def add_replica(self) -> Server:
        """One more replica that streams from the primary and accepts queries, for another region."""
        number = len(self._others) + 2
        other = self._server(f"replica {number}", REPLICA_PORT + number - 1)
        self._others.append(other)
        self._copy_primary(other, self.primary.params())
        other.start()
        return other

    def create_database(self, name: str) -> None:
        """Create the database ``name`` on the primary."""
        self._on_primary("CREATE DATABASE {}", name)

    def drop_database(self, name: str) -> None:
        """Drop the database ``name``, if it exists, and disconnect whoever uses it."""
        self._on_primary("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def pause_replay(self) -> None:
        """Stop the replica's replay; what commits from now on does not become visible there, though it is received."""
        self.replica.query("SELECT pg_wal_replay_pause()")
        _poll(lambda: self.replica.query("SELECT pg_get_wal_replay_pause_state()") == "paused", "replay is not paused")

    def resume_replay(self) -> None:
        """Let the replica replay again; it catches up by itself. Does nothing if it is not paused."""
        self.replica.query("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")

    @contextmanager
    def replay_paused(self) -> Iterator[None]:
        """A block during which replay is paused, and at whose end it is resumed."""
        self.pause_replay()
        try:
            yield
        finally:
            self.resume_replay()

    def apply_delay(self, seconds: float) -> AbstractContextManager[object]:
        """From now on the replica replays each commit ``seconds`` after it happened; 0 is at once.

        It stays so until the next call, or to the end of the block when used in a ``with`` statement.
        """
        self._set_apply_delay(seconds)
        undo = ExitStack()
        undo.callback(self._set_apply_delay, 0)
        return undo

    def wait_for_replica(self, timeout: float = 10) -> None:
        """Return once the replica has replayed everything that the primary has flushed by now.

        TimeoutError if it has not after ``timeout`` seconds.
        """
        target = self.primary.query("SELECT pg_current_wal_flush_lsn()::text")
        con = self.replica.connect()
        try:
            cursor = con.cursor()

            def caught_up() -> bool:
                cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (target,))
                return cursor.fetchone() == (True,)

            _poll(caught_up, f"the replica has not replayed {target}", timeout)
        finally:
            con.close()

    def promote(self) -> None:
        """Make the replica a primary of its own. The old primary is left as it is, and the cluster's names are, too."""
        if not self.replica.query("SELECT pg_promote(true, %s)", PROMOTE_TIMEOUT):
            raise TimeoutError(f"the replica was not promoted within {PROMOTE_TIMEOUT} s; see {self.replica.log}")

    def demote(self) -> None:
        """Make the old primary a replica of the one that was promoted, once :meth:`promote` has returned.

        It follows the new timeline if it wrote nothing after the promotion. Otherwise it keeps to the old one: it
        accepts reads, and replays nothing any more.
        """
        self.primary.stop()
        self._follow(self.primary, self.replica)
        self.primary.start()

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
        self._copy_primary(self.replica, source)
        if self.replication_link:
            self.replication_link.rtt = rtt or 0.0  # not before: the copy need not travel far
        self.replica.start()

    def _copy_primary(self, server: Server, source: Mapping[str, Any]) -> None:
        """Make the data of a server a copy of the primary's, reached at ``source``, from where it will stream."""
        self._software.run(
            "pg_basebackup", "--pgdata", str(server.data), "--dbname", make_dsn(**source),
            "--checkpoint", "fast", "--no-sync", "--no-manifest", "--write-recovery-conf",
        )  # fmt: skip

    @staticmethod
    def _follow(server: Server, source: Server) -> None:
        """Let a server be a replica of another one when it starts next."""
        with (server.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = {_quote(source.dsn())}\n")
        (server.data / "standby.signal").touch()

    def _open_link(self) -> str:
        """The folder of the socket at which the primary can be reached through the replication link."""
        socket = self._folder.path / f".s.PGSQL.{PRIMARY_PORT}"
        self.replication_link = Wan(f"{self._sockets}/{socket.name}", listen=str(socket))
        if self._folder.account:
            self._folder.account.give(socket)
        return str(socket.parent)

    def _on_primary(self, sql: str, name: str) -> None:
        con = self.primary.connect()
        try:
            con.cursor().execute(sql.format(quote_ident(name, con)))
        finally:
            con.close()

    def _set_apply_delay(self, seconds: float) -> None:
        value = f"{round(seconds * 1000)}ms"
        self.replica.query("ALTER SYSTEM SET recovery_min_apply_delay = %s", value)
        self.replica.query("SELECT pg_reload_conf()")
        # A new session has the setting only after the main process has signalled its older children, replay included.
        current = "SELECT setting = %s FROM pg_settings WHERE name = 'recovery_min_apply_delay'"
        _poll(lambda: bool(self.replica.query(current, value[:-2])), "the apply delay is not in effect")


def _poll(condition: Callable[[], bool], complaint: str, timeout: float = 10) -> None:
    """Return once ``condition`` holds; TimeoutError with the ``complaint`` if it does not in time."""
    deadline = Deadline.after(timeout)
    while not condition():
        if deadline.expired:
            raise TimeoutError(f"{complaint} after {timeout:g} s")
        sleep(POLL_INTERVAL)


def _quote(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
