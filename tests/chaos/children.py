"""Node and client processes, which are killed, stopped and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import ROOT

#: A process that was told to end has to do so within so many seconds.
PATIENCE = 30.0


class Child:
    """A ``python -m …`` process, whose first line says that it serves. It is started by :meth:`start`."""

    def __init__(self, name: str, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", *arguments]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def started(self) -> bool:
        """Whether it has ever been started."""
        return self._process is not None

    def start(self) -> None:
        """Start the process. Returns at once."""
        self._asked = False
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to the orchestrating process only
            )

    def wait_until_serving(self) -> bool:
        """Whether the process serves now, rather than having ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline() == b"serving\n"

    def start_until_serving(self) -> None:
        """Start the process, as a supervisor does: again if it ends at once, since it lacks a server just now."""
        while True:
            self.start()
            if self.wait_until_serving():
                return
            self._reap()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def ask_to_end(self) -> None:
        """Tell the process to end, once: a second signal would find Python's own handler, as it ends."""
        if not self._asked:
            self._asked = True
            self.send(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, if it has not ended yet."""
        self.send(signal.SIGKILL)
        self._reap()

    def end(self) -> str:
        """Tell the process to end, and wait; returns what is wrong with how it ended, which is mostly nothing."""
        assert self._process is not None
        self.ask_to_end()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"did not end within {PATIENCE:g} s of SIGTERM"
        self._reap()
        return "" if code == 0 else f"ended with code {code}: {self.said()}"

    def said(self) -> str:
        """The end of what it wrote to stderr."""
        return self.log.read_text(errors="replace")[-2000:]

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
