"""A program that makes a folder for another process, and removes it, with the servers in it, when that process ends.

It is run as ``python reaper.py PARENT [UID GID]``, and prints the name of a new folder in PARENT. It acts when it reads
anything from its standard input or when that ends, which happens however the other process ends, SIGKILL included.
Since it makes the folder itself, there is no moment in which nobody would remove it. It imports nothing of fly_orm, to
start quickly.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: The file in the folder on which every program that works there holds a shared lock.
IN_USE = "in-use"
QUIT_TIMEOUT = 10.0
KILL_TIMEOUT = 5.0
POLL_INTERVAL = 0.01

_LINE_PID, _LINE_SHARED_MEMORY = 0, 6  # of postmaster.pid (src/include/utils/pidfile.h in Postgres' source)
_IPC_RMID = 0


def main(parent: str, account: list[int]) -> None:
    """Make the folder, wait for the end of the other process, then stop its servers and remove the folder."""
    folder = Path(tempfile.mkdtemp(prefix="fly-", dir=parent))
    with suppress(BrokenPipeError):  # the other process has ended already
        os.write(sys.stdout.fileno(), f"{folder.name}\n".encode())
    sys.stdin.buffer.read(1)
    lock_files = [path / "postmaster.pid" for path in folder.iterdir() if path.is_dir()]
    with (folder / IN_USE).open("ab") as file:
        child = os.fork()
        if child == 0:
            try:
                _give_up_root(account)
                _stop_servers(lock_files, file.fileno())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)


def _give_up_root(account: list[int]) -> None:
    """Become the servers' user, so that root's powers cannot be turned on others by what the servers have written."""
    if account:
        uid, gid = account
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _stop_servers(lock_files: list[Path], in_use: int) -> None:
    """End every program that works in the folder: servers with SIGQUIT, then SIGKILL; others end by themselves."""
    for number, timeout in ((signal.SIGQUIT, QUIT_TIMEOUT), (signal.SIGKILL, KILL_TIMEOUT)):
        deadline = time.monotonic() + timeout
        while not _free(in_use) and time.monotonic() < deadline:
            _signal_servers(lock_files, number)
            time.sleep(POLL_INTERVAL)
    for lines in _contents(lock_files):
        with suppress(IndexError, ValueError):  # a crash leaves the shared memory behind, and macOS allows 32 of them
            ctypes.CDLL(None).shmctl(int(lines[_LINE_SHARED_MEMORY].split()[1]), _IPC_RMID, None)


def _free(in_use: int) -> bool:
    try:
        fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal_servers(lock_files: list[Path], number: int) -> None:
    for lines in _contents(lock_files):
        with suppress(IndexError, ValueError, ProcessLookupError):
            pid = int(lines[_LINE_PID])
            if pid > 0:  # it is negative for the server that initdb runs, which ends soon
                os.kill(pid, number)


def _contents(lock_files: list[Path]) -> Iterator[list[str]]:
    """The lines of each file that exists."""
    for path in lock_files:
        with suppress(FileNotFoundError):
            yield path.read_text().splitlines()


if __name__ == "__main__":
    main(sys.argv[1], [int(word) for word in sys.argv[2:]])
