"""A node in a process of its own, as ``fly-orm serve`` runs it in production."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import sleep

from fly_orm.deadline import Deadline

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
POLL_INTERVAL = 0.01
_MAIN = "fly_orm.testing.lifeline"
_ANNOUNCEMENT = re.compile(r"fly-orm: serving .* at (\S+)\n")


class NodeNotStarted(RuntimeError):
    """A node has ended before it served, or took too long."""


class NodeProcess:
    """A node that serves databases of an application, and ends with this process. One thread at a time.

    ``databases`` are what ``fly-orm serve`` is given, such as ``shop.app:db``; ``environment`` is all that the process
    finds there; ``folder`` is where it runs; ``log`` is the file for what it and the application print.
    """

    def __init__(self, databases: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        self._arguments = ["serve", *databases, "--listen", "127.0.0.1:0"]
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of the process; None if it does not run."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> str:
        """Start the node, and return the address that it serves at.

        NodeNotStarted, with the end of its log, if it ends, or does not serve within ``START_TIMEOUT``.
        """
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", _MAIN, *self._arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,  # a pipe would have to be read as long as the application may print
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the tests, which then stop the node
            )
        try:
            return self._address(begin)
        except BaseException:
            self.kill()
            raise

    def _address(self, begin: int) -> str:
        """The address that the node writes into its log, of which this start has its own part."""
        deadline = Deadline.after(START_TIMEOUT)
        while True:
            running, late = self.running, deadline.expired
            with self.log.open("rb") as log:
                log.seek(begin)
                said = log.read().decode(errors="replace")
            if found := _ANNOUNCEMENT.search(said):
                return found[1]
            if not running or late:
                why = f"has not served after {START_TIMEOUT:g} s" if running else "did not start"
                end = "\n".join(said.splitlines()[-20:])
                raise NodeNotStarted(f"the node {why}: python -m fly_orm {' '.join(self._arguments)}\n{end}")
            sleep(POLL_INTERVAL)

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
            self._process.communicate()  # which ends its standard input
            self._process = None
