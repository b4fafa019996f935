"""A program that outlives the process it serves by a moment, to stop its servers and remove its folder.

Run as ``python reaper.py FOLDER [UID GID]``; it acts as soon as its standard input says anything or ends, and the
latter happens however the other process ends, SIGKILL included. It imports nothing of fly_orm, so as to start quickly.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

STOP_TIMEOUT = 10.0
LINGER_TIMEOUT = 2.0


def main(folder: Path, account: list[int]) -> None:
    """Wait for the end of the other process, then leave nothing behind."""
    if account:
        _become(*account)
    orderly = bool(sys.stdin.buffer.read(1))
    for lock_file in folder.glob("*/postmaster.pid"):
        _stop(lock_file)
    _remove(folder)
    if not orderly:
        _keep_removed(folder)


def _become(uid: int, gid: int) -> None:
    """Give up root, so that nothing which a server has written can make this process harm anybody else."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _stop(lock_file: Path) -> None:
    """End the server that ``lock_file`` belongs to: at once but tidily, or by force if that does not help."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        try:
            os.kill(int(lock_file.read_text().split()[0]), number)
        except (OSError, ValueError, IndexError):
            return
        deadline = time.monotonic() + STOP_TIMEOUT
        while lock_file.exists() and time.monotonic() < deadline:
            time.sleep(0.005)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


def _keep_removed(folder: Path) -> None:
    """Remove what an initdb brings back that was just starting when the other process was killed."""
    deadline = time.monotonic() + LINGER_TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(0.1)
        _remove(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
