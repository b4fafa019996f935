"""One worker as its supervisor sees it: a process that is replaced when it ends."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..deadline import now
from ..serving.readiness import Problem
from ..settings import environment_with
from ..sharing.leash import ANSWER, SERVES, Leash
from .estate import Estate
from .questions import Questions
from .restarts import Restarts

log = logging.getLogger("fly_orm.node")

#: The option of ``fly-orm serve`` that makes it a worker.
OPTION = "--inherited"


class Worker:
    """The process of this number, and what it has said. The main thread uses it, except for :meth:`ask`."""

    def __init__(
        self, number: int, estate: Estate, on_change: Callable[[], None], is_given_up: Callable[[], bool]
    ) -> None:
        """``on_change`` is called on another thread when the worker begins to serve.

        ``is_given_up`` tells, for the log, whether the supervisor ends now that the worker's process has.
        """
        self.number = number
        self._estate = estate
        self._command, self._arguments = own_command()
        self._on_change = on_change
        self._is_given_up = is_given_up
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: tuple[Leash, Questions] | None = None
        """What connects the supervisor with the process, and what it has asked over that."""
        self._restarts = Restarts()
        self._started_at = 0.0
        self.starts_at: float | None = now()
        """When to start a process (monotonic); None if there is one."""
        self.serving: dict[str, Any] | None = None
        """What the present process has said that it serves, once it does."""
        self._is_asked_to_stop = False

    @property
    def name(self) -> str:
        """The worker in words."""
        return f"worker {self.number + 1}"

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def accepts(self) -> bool:
        """Whether it accepts requests: one that was asked to stop serves those that it has, and no others."""
        return self.serving is not None and not self._is_asked_to_stop

    @property
    def is_hopeless(self) -> bool:
        """Whether it has failed to start too often."""
        return self._restarts.is_hopeless

    def start(self) -> None:
        """Start a process. OSError or RuntimeError if the system cannot do that now; see :meth:`not_started`."""
        inherited, own, theirs = self._estate.bequeath(self.number)
        self.serving, self.starts_at, self._is_asked_to_stop = None, None, False
        self._started_at = now()
        with theirs:
            command = [*self._command, OPTION, inherited.encode(), *self._arguments]
            variables = {} if (metrics := self._estate.metrics) is None else metrics.variables
            self._process = subprocess.Popen(  # noqa: S603  # its own command
                command, pass_fds=inherited.descriptors, env=environment_with(**variables)
            )
        process, questions = self._process, Questions(self.name)
        heard = partial(self._heard, process, questions)
        leash = Leash(own, heard, lambda: None, f"fly_orm {self.name}")
        leash.start()
        self._leash = leash, questions

    def not_started(self, error: Exception) -> int:
        """Note that no process could be started, so that it is tried again. The exit status that stands for that."""
        if self.is_running:  # without a leash
            self.kill()
            return 1
        pause = self._restarts.ended(lived=0.0, served=False)
        self.starts_at = now() + pause
        log.error(
            "%s cannot be started (%s); %s",
            self.name,
            error,
            "this node ends" if self._is_given_up() else f"it is tried again {_after(pause)}",
            extra={"event": "worker_not_started", "worker": self.name, "seconds": pause},
        )
        return 1

    def stop(self) -> None:
        """Ask the process to stop, if there is one; it may take a while."""
        self._is_asked_to_stop = True
        self.starts_at = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None:
            self._process.kill()

    def ended(self) -> int | None:
        """The exit status of the process if it has just ended, as a shell has it; another one is due then."""
        process = self._process
        if process is None or (code := process.poll()) is None:
            return None
        lived = now() - self._started_at
        has_served = self.serving is not None
        pause = self._restarts.ended(lived=lived, served=has_served)
        self._process, self._leash, self.serving = None, None, None
        if self._is_asked_to_stop or (code == 0 and has_served):
            pause = 0.0
            log.info(
                "%s (process %d) has stopped",
                self.name,
                process.pid,
                extra={"event": "worker_stopped", "worker": self.name, "process_id": process.pid},
            )
        else:
            log.error(
                "%s (process %d) has ended after %.1f seconds (%s)%s",
                self.name,
                process.pid,
                lived,
                _how(code),
                f"; it begins again {_after(pause)}" if pause and not self._is_given_up() else "",
                extra={"event": "worker_died", "worker": self.name, "process_id": process.pid, "seconds": lived},
            )
        self._estate.board.clear(self.number)
        if (metrics := self._estate.metrics) is not None:
            metrics.worker_ended(process.pid)
        self.starts_at = now() + pause
        return code if code >= 0 else 128 - code

    def ask(self, note: Callable[[list[Problem]], None]) -> None:
        """Ask what keeps it from being ready; ``note`` is called with the answer on another thread, if one comes.

        Any thread may call.
        """
        if (connected := self._leash) is None:
            note([Problem(f"{self.name} does not run")])
        else:
            leash, questions = connected
            questions.ask(leash, note)

    def _heard(self, process: subprocess.Popen[bytes], questions: Questions, message: dict[str, Any]) -> None:
        if SERVES in message and process is self._process:
            self.serving = message
            self._on_change()
        elif ANSWER in message:
            questions.answered(message)


def _after(pause: float) -> str:
    return f"in {pause:g} seconds" if pause else "at once"


def own_command() -> tuple[list[str], list[str]]:
    """The command by which this process was started, up to the subcommand, and the arguments of that."""
    before = len(sys.orig_argv) - len(sys.argv) + 1
    return [sys.executable, *sys.orig_argv[1:before], sys.argv[1]], sys.argv[2:]


def _how(code: int) -> str:
    """How a process has ended, in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
