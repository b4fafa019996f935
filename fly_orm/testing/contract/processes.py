"""Other processes that serve or connect over the transport under test, and that can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from .tools import SOON, within

#: Imports modules from where this process does, and becomes a peer.
_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from fly_orm.testing.peer import main
main(*sys.argv[2:])
"""
_START_TIMEOUT = 6 * SOON


class Process:
    """Another process. ``line`` is the first one it prints: the address it serves at, or that it has connected."""

    line: str

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", _START, json.dumps(sys.path), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603

    @property
    def pid(self) -> int:
        return self._process.pid

    def says(self, timeout: float = SOON) -> str:
        """The next line of its output; AssertionError if there is none within the timeout."""
        assert self._process.stdout is not None
        line = within(timeout, self._process.stdout.readline).strip()
        assert line, "the other process has ended; its output says why"
        return line

    def kill(self) -> None:
        """End the process by SIGKILL, and wait until it has ended. May be called twice."""
        self._process.kill()
        self._process.communicate(timeout=SOON)


class Processes:
    """Starts other processes, each with a transport of its own, and kills them in the end."""

    def __init__(self, factory: Callable[..., Any], listen: str, options: Mapping[str, str] | None = None) -> None:
        self._factory = f"{factory.__module__}:{getattr(factory, '__qualname__', '')}"
        self._listen = listen
        self._options = json.dumps(dict(options or {}))
        self._undo = ExitStack()

    def serve(self, listen: str | None = None) -> Process:
        """A process that serves, and answers as :class:`fly_orm.testing.peer.Responder` does."""
        return self._start("serve", listen or self._listen)

    def connect(self, address: str, request: str = "") -> Process:
        """A process that has connected to the address, and sends a request if one is given."""
        return self._start("connect", address, request)

    def _start(self, *arguments: str) -> Process:
        process = Process(self._factory, self._options, *arguments)
        self._undo.callback(process.kill)
        process.line = process.says(_START_TIMEOUT)
        return process

    def close(self) -> None:
        """Kill every process, and wait until it has ended."""
        self._undo.close()
