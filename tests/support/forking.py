"""Python processes that are forked from one that has imported what nodes need.

To start Python and to import all of that takes half a second of processor time, which a run of all tests would spend a
thousand times.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from select import poll
from typing import IO

from fly_orm.testing.contract.tools import in_thread
from tests.support import ROOT

#: Whether the system tells when a process has ended that is a child of another one.
IS_POSSIBLE = hasattr(os, "pidfd_open")


class Parent:
    """The process that forks. There is one for each process that runs tests."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forker", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)

    def fork(self, request: bytes, *descriptors: int) -> None:
        """Ask for a process with these descriptors as standard output, as standard error, and to report its end to."""
        socket.send_fds(self._socket, [request], descriptors)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


_parents: list[Parent] = []


def _parent() -> Parent:
    if not _parents:
        _parents.append(Parent())
    return _parents[0]


class Forked:
    """A process that runs ``python -m fly_orm``. It has what tests use of :class:`subprocess.Popen`."""

    def __init__(self, *arguments: str, folder: Path, environment: Mapping[str, str]) -> None:
        request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        (out, their_out), (err, their_err), (status, their_status) = os.pipe(), os.pipe(), os.pipe()
        try:
            _parent().fork(json.dumps(request).encode(), their_out, their_err, their_status)
        finally:
            for descriptor in (their_out, their_err, their_status):
                os.close(descriptor)
        self.stdout: IO[str] = os.fdopen(out)
        self.stderr: IO[str] = os.fdopen(err)
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, as Popen has it, if the process has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. TimeoutExpired if the process goes on for longer."""
        if self.returncode is None:
            ended = poll()
            ended.register(self._status)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("fly_orm", timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still says, until it has ended. TimeoutExpired if that takes longer."""
        out, err = in_thread(self._rest, self.stdout), in_thread(self._rest, self.stderr)
        self.wait(timeout)
        return out.result(timeout), err.result(timeout)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @staticmethod
    def _rest(stream: IO[str]) -> str:
        if stream.closed:
            return ""
        with stream:
            return stream.read()
