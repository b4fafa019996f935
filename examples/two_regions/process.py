"""Child processes, which the demo talks to over pipes and always stops."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT = 5.0


class ProcessFailed(Exception):
    """A child process exited too early; the message is what it wrote to stderr."""


class Process:
    """A ``python -m …`` process. Used as a context manager, it is stopped at the end of the block."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
        self._command = " ".join(arguments)
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed with the process
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=dict(environment),
            encoding="utf-8",
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C must reach only the demo, which then stops its children
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to its stdin; ProcessFailed if it has exited."""
        try:
            print(line, file=self._child.stdin, flush=True)
        except BrokenPipeError:
            raise ProcessFailed(self._complaint()) from None

    def hear(self) -> str:
        """The next line of its stdout; ProcessFailed if it has exited."""
        line = self._child.stdout.readline()
        if not line:
            raise ProcessFailed(self._complaint())
        return line.rstrip("\n")

    def finish(self) -> None:
        """Wait until it has exited; ProcessFailed if it has failed."""
        self._child.communicate()
        if self._child.returncode:
            raise ProcessFailed(self._complaint())

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        try:
            self._child.communicate(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._errors.close()

    def _complaint(self) -> str:
        self._errors.seek(0)
        return f"{self._command} exited: {self._errors.read().strip() or 'no error output'}"
