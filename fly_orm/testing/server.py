"""A Postgres server for tests."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import psycopg2
from psycopg2.extensions import connection, make_dsn

from fly_orm.deadline import Deadline

from .processes import children, living
from .software import Software

USER = "postgres"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
POLL_INTERVAL = 0.002

#: The signal for each shutdown mode (Postgres manual, section "Shutting Down the Server").
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_LINE_STATUS = 7  # of postmaster.pid, counted from 0 (src/include/utils/pidfile.h in Postgres' source)


class Server:
    """A Postgres server that is reached through a Unix socket, as a superuser without a password.

    ``name`` is what errors call it, ``data`` its data folder, ``log`` its log file, ``host`` the folder of its socket.
    """

    def __init__(self, software: Software, *, name: str, data: Path, log: Path, host: str, port: int) -> None:
        self.name = name
        self.data = data
        self.log = log
        self.host = host
        self.port = port
        self._software = software
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.name}, {'running' if self.running else 'not running'}, {self.dsn()}>"

    def params(self, dbname: str = USER) -> dict[str, Any]:
        """The keyword arguments with which ``psycopg2.connect`` reaches a database on this server."""
        return {"host": self.host, "port": self.port, "user": USER, "dbname": dbname}

    def dsn(self, dbname: str = USER) -> str:
        """The same as :meth:`params`, as a libpq connection string."""
        return str(make_dsn(**self.params(dbname)))

    def connect(self, dbname: str = USER) -> connection:
        """A new connection, in autocommit mode."""
        con: connection = psycopg2.connect(**self.params(dbname))
        con.autocommit = True
        return con

    def query(self, sql: str, *parameters: object) -> Any:
        """The first column of the first row of a query on a connection of its own; None if there is no row."""
        con = self.connect()
        try:
            with con.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                row = cursor.fetchone() if cursor.description else None
                return row[0] if row else None
        finally:
            con.close()

    @property
    def running(self) -> bool:
        """Whether the server's main process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of the server's main process; None if the server does not run."""
        return self._process.pid if self._process and self.running else None

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the server, which accepts queries when this returns.

        RuntimeError, with the end of the server's log, if it does not within ``timeout`` seconds. Does nothing if the
        server is running.
        """
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = self._software.start(
                "postgres", "-D", str(self.data), "-k", self.host, "-p", str(self.port), output=log
            )
        deadline = Deadline.after(timeout)
        while not self._ready(self._process.pid):
            if not self.running or deadline.expired:
                self._fail_start(timeout)
            sleep(POLL_INTERVAL)

    def stop(self, mode: str = "fast", timeout: float = STOP_TIMEOUT) -> None:
        """Stop the server; TimeoutError if it is still running after ``timeout`` seconds.

        mode: ``smart`` waits until the clients have disconnected, ``fast`` disconnects them, and ``immediate`` does so
        without writing a checkpoint. In the first two modes, a primary waits until its replica has received everything.
        """
        number = STOP_SIGNALS[mode]
        if self._process is None or not self.running:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the {self.name} did not stop ({mode}) within {timeout:g} s; see {self.log}") from None

    def kill(self) -> None:
        """Make the server crash: send SIGKILL to its main process and all of its children."""
        if self._process is None or not self.running:
            return
        pid = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # otherwise it would start new children meanwhile
        workers = children(pid)
        for victim in (pid, *workers):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self._process.wait()
        while living(workers):  # the server cannot be started again before
            sleep(POLL_INTERVAL)

    def restart(self, mode: str = "fast") -> None:
        """Stop the server, if it is running, and start it."""
        self.stop(mode)
        self.start()

    def _ready(self, pid: int) -> bool:
        lines = self._lock_file()
        # At first, the lock file can be that of an earlier server that crashed.
        return len(lines) > _LINE_STATUS and lines[0] == str(pid) and lines[_LINE_STATUS].strip() == "ready"

    def _lock_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _fail_start(self, timeout: float) -> None:
        what = f"is not ready after {timeout:g} s" if self.running else "ended"
        self.stop("immediate")
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"the {self.name} did not start: it {what}. The end of its log:\n{tail}")
