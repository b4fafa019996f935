"""PgBouncer in front of one Postgres server, or of an address that leads to several."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from fly_orm.testing.account import server_account
from fly_orm.testing.contract.tools import until
from fly_orm.testing.server import USER

#: Names the Unix socket; nothing listens at a TCP port.
_PORT = 6432


def find_executable() -> str | None:
    """The path of ``pgbouncer``; None if there is none."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin")


def executable() -> str:
    """The path of ``pgbouncer``; without one the test is skipped, or fails where CI is set."""
    found = find_executable()
    if found is None:
        problem = "there is no pgbouncer on the PATH (Debian: apt-get install pgbouncer)"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    return found


class PgBouncer:
    """A running pooler. ``to`` is where it leads: connection parameters, of which host and port count."""

    def __init__(self, folder: Path, mode: str, to: dict[str, Any], **settings: Any) -> None:
        self.folder = folder
        self._account = server_account()
        self._settings = {
            "pool_mode": mode,
            "listen_port": _PORT,
            "unix_socket_dir": folder,
            "auth_type": "trust",
            "auth_file": folder / "users",
            "admin_users": USER,
            "logfile": folder / "log",
            "ignore_startup_parameters": "extra_float_digits",
            "server_login_retry": 0.1,
            "query_wait_timeout": 20,
            **settings,
        }
        (folder / "users").write_text(f'"{USER}" ""\n')
        (folder / "log").touch()
        self.lead_to(to)
        if self._account:
            for path in (folder, *folder.iterdir()):
                self._account.give(path)
        options = self._account.popen_options if self._account else {}
        self._process = subprocess.Popen(
            [executable(), "--quiet", folder / "ini"], cwd=folder, stderr=subprocess.DEVNULL, **options
        )
        until(lambda: self._process.poll() is not None or self._listens(), complaint=self.said)
        assert self._process.poll() is None, self.said()

    @property
    def parameters(self) -> dict[str, Any]:
        """The connection parameters that lead here."""
        return {"host": str(self.folder), "port": _PORT}

    def connect(self, database: str) -> Any:
        """A new connection to a database, in autocommit mode."""
        connection = psycopg2.connect(**self.parameters, user=USER, dbname=database)
        connection.autocommit = True
        return connection

    def command(self, sql: str) -> Any:
        """What a command of the pooler's console returns."""
        connection = self.connect("pgbouncer")
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def lead_to(self, to: dict[str, Any]) -> None:
        """Lead to another address, after the commands RELOAD and RECONNECT."""
        settings = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        database = f"* = host={to['host']} port={to['port']}"
        (self.folder / "ini").write_text(f"[databases]\n{database}\n[pgbouncer]\n{settings}")

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            self.connect("pgbouncer").close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def pgbouncer(mode: str, to: dict[str, Any], **settings: Any) -> Iterator[PgBouncer]:
    """A pooler in ``session`` or ``transaction`` mode, as long as the block lasts."""
    executable()
    with tempfile.TemporaryDirectory(prefix="fly_orm_pgbouncer.") as folder:
        made = PgBouncer(Path(folder), mode, to, **settings)
        try:
            yield made
        finally:
            made.close()
