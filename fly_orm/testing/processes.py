"""Asks the operating system about other processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path


def children(pid: int) -> set[int]:
    """The child processes of ``pid`` that have not ended."""
    return {child for child, parent in _living() if parent == pid}


def living(pids: set[int]) -> set[int]:
    """Those of ``pids`` that have not ended. A zombie, which nobody has waited for yet, has ended."""
    return pids & {pid for pid, _ in _living()}


def _living() -> Iterator[tuple[int, int]]:
    """Each living process with its parent."""
    for pid, parent, state in _from_proc() if Path("/proc/self/stat").exists() else _from_ps():
        if not state.startswith(("Z", "X")):
            yield int(pid), int(parent)


def _from_proc() -> Iterator[tuple[str, str, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name of the program, in parentheses, may itself contain spaces and parentheses.
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # the process has ended meanwhile
            continue
        yield entry.name, parent, state


def _from_ps() -> Iterator[tuple[str, str, str]]:
    command = ["ps", "-A", "-o", "pid=,ppid=,state="]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():  # noqa: S603
        pid, parent, state = line.split()
        yield pid, parent, state
