"""Other processes, which run a few lines of Python or are stopped for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def is_running(pid: int | None) -> bool:
    """Whether the process has not ended, or only just."""
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """A block in which none of these processes does anything."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def script(text: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A running Python program, as long as the block lasts. What it prints can be read."""
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
