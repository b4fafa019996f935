"""A node in a process of its own, as ``fly-orm serve`` runs it in production."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_TIMEOUT = 30.0
_ANNOUNCEMENT = "fly-orm: serving "


class NodeNotStarted(RuntimeError):
    """A node has ended before it served."""


class NodeProcess:
    """A node that serves databases of an application. One thread at a time.

    ``databases`` are what ``fly-orm serve`` is given, such as ``shop.app:db``; ``environment`` is all that the process
    finds there; ``folder`` is where it runs; ``log`` is the file for what it says.
    """

    def __init__(self, databases: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        self._command = [sys.executable, "-m", "fly_orm", "serve", *databases, "--listen", "127.0.0.1:0"]
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of the process; None if it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> str:
        """Start the node, and return the address that it serves at; NodeNotStarted, with its log, if it ends."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C goes to the tests, which then stop the node
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith(_ANNOUNCEMENT):
            self.kill()
            said = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise NodeNotStarted(f"the node did not start: {' '.join(self._command[1:])}\n{said}")
        return line.split()[-1]

    def stop(self) -> None:
        """Let running requests finish, and end the node. It is killed if that takes longer than ``STOP_TIMEOUT``."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def kill(self) -> None:
        """End the node at once, with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None
