"""A private folder that disappears, with the servers in it, when the process that made it ends."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import reaper
from .account import Account

#: The path of a socket can have 103 bytes on macOS and 107 on Linux; this leaves room for names in the folder.
MAX_PARENT_BYTES = 60
MIN_FREE_BYTES = 1024 * 1024 * 1024
NO_EXECUTION = getattr(os, "ST_NOEXEC", 0)


class Folder:
    """A folder that only this user and ``account`` can enter, and only this user can change.

    A small companion process makes the folder. It ends the Postgres servers whose data is there, and removes it, when
    :meth:`close` is called or this process ends in any way. It watches a pipe. A parent-death signal exists only on
    Linux, and comes when the thread ends that started the companion. A process that is forked from this one and
    outlives it, without executing another program, keeps the pipe open, and so the folder alive.
    """

    def __init__(self, account: Account | None) -> None:
        self.account = account
        self._owner = os.getpid()
        parent = _parent(account)
        identity = [str(account.uid), str(account.gid)] if account else []
        self._reaper = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", reaper.__file__, parent, *identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C goes to the tests, which then close the folder in order
        )
        self.path = Path(parent, self._name(parent))
        if account:
            account.admit(self.path)

    def subfolder(self, name: str) -> Path:
        """A new folder in this one that the servers can change, and nobody else can enter."""
        path = self.path / name
        path.mkdir(mode=0o700)
        if self.account:
            self.account.give(path)
        return path

    @contextmanager
    def in_use(self) -> Iterator[int]:
        """A file descriptor that a program started in the block must inherit; the folder stays while it is open."""
        file = os.open(self.path / reaper.IN_USE, os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_SH)  # until the last process that has inherited it ends
            yield file
        finally:
            os.close(file)

    @property
    def mine(self) -> bool:
        """Whether this is the process that made the folder, rather than one forked from it."""
        return os.getpid() == self._owner

    def close(self) -> None:
        """End the servers in the folder and remove it. Does nothing in a forked process, or the second time."""
        if self.mine and self._reaper.returncode is None:
            # Closing the pipe would not be enough: a forked process may hold it open.
            self._reaper.communicate(b"q")

    def _name(self, parent: str) -> str:
        """The name of the folder, which the companion has made when it tells it; OSError if it could not."""
        assert self._reaper.stdout is not None  # noqa: S101  # for the type checker
        name = self._reaper.stdout.readline().decode().strip()
        if not name:
            raise OSError(f"{sys.executable} could not make a folder in {parent}: it ended with {self._reaper.wait()}")
        return name


def _parent(account: Account | None) -> str:
    """A folder in memory, where creating a database is ten times as fast, if it has room; else the temporary folder."""
    for parent in ("/dev/shm", tempfile.gettempdir()):  # noqa: S108
        if _fits(Path(parent)) and (account is None or _open_to_all(Path(parent))):
            return parent
    return "/tmp"  # noqa: S108


def _fits(parent: Path) -> bool:
    if not os.access(parent, os.W_OK | os.X_OK) or len(os.fsencode(parent)) > MAX_PARENT_BYTES:
        return False
    system = os.statvfs(parent)
    # PostgreSQL's programs may have to be copied there, too.
    return system.f_bavail * system.f_frsize >= MIN_FREE_BYTES and not system.f_flag & NO_EXECUTION


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.resolve().parents))
