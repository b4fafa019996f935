"""Runs the workers of a node: all of them serve one address, and each that ends is replaced."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from ..concurrency.signals import STOP, Signals
from ..deadline import Deadline, now
from ..serving.readiness import ANSWER_TIMEOUT, SHUTTING_DOWN, Problem
from .estate import Estate
from .inquiry import Inquiry
from .worker import Worker

log = logging.getLogger("fly_orm.node")

#: What the supervisor waits for.
SIGNALS = (*STOP, signal.SIGCHLD, signal.SIGHUP)
#: Seconds that a worker's answer may take, which is awaited for less than the page that it is for.
_ANSWER_TIMEOUT = ANSWER_TIMEOUT - 0.1


class Supervisor:
    """The workers of one node. The main thread uses it, except for :meth:`problems`."""

    def __init__(
        self,
        workers: int,
        estate: Estate,
        signals: Signals,
        on_serving: Callable[[list[str], str], None],
    ) -> None:
        """``on_serving`` is called with the databases and the address once the first worker serves."""
        self._signals = signals
        self._estate = estate
        self._workers = [Worker(number, estate, signals.wake, self._is_given_up) for number in range(workers)]
        self._on_serving = on_serving
        self._has_served = False
        self._stopping = 0
        """The signal that has asked to stop."""
        self._rolling: list[Worker] = []
        """Those that are still to be replaced, one after another."""
        self._status: int | None = None
        """The exit status of the last worker that has ended."""

    def run(self) -> int:
        """Run the workers until a signal asks to stop, or none of them can be started. The exit status."""
        while True:
            self._reap()
            if (status := self._final_status()) is not None:
                return status
            self._roll()
            self._start_those_due()
            self._note_serving()
            if (status := self._handle(self._signals.wait(self._patience()))) is not None:
                return status

    def problems(self) -> list[Problem]:
        """What keeps the node from being ready; empty if one of its workers is. Takes up to two seconds."""
        if self._stopping:
            return [SHUTTING_DOWN]
        inquiry = Inquiry(len(self._workers))
        for worker in self._workers:
            worker.ask(inquiry.note)
        return inquiry.problems(Deadline.after(_ANSWER_TIMEOUT))

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has asked to stop."""
        return bool(self._stopping)

    def _handle(self, number: int) -> int | None:
        """Do what a signal asks for; the exit status if that is to end."""
        if number == signal.SIGHUP and not self._stopping:
            log.info("SIGHUP came: the workers are replaced one after another", extra={"event": "workers_replaced"})
            self._rolling = list(self._workers)
        elif number in STOP and self._stopping:
            log.warning(
                "%s came while the workers were closing: they end at once",
                signal.Signals(number).name,
                extra={"event": "forced_end", "signal": signal.Signals(number).name},
            )
            self._kill_all()
            return 128 + number
        elif number in STOP:
            self._stopping, self._rolling = number, []
            self._estate.stop_listening()
            for worker in self._workers:
                worker.stop()
        return None

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _reap(self) -> None:
        for worker in self._workers:
            if (status := worker.ended()) is not None:
                self._status = status

    def _final_status(self) -> int | None:
        """The exit status if all is over."""
        if any(worker.is_running for worker in self._workers):
            return None
        if self._stopping:
            return 0
        if self._status is not None and self._is_given_up():
            if self._has_served:
                log.error("no worker can be started any more", extra={"event": "no_worker"})
            return self._status
        return None

    def _is_given_up(self) -> bool:
        """Whether no worker runs, now that one has ended, and none is started again."""
        if any(worker.is_running for worker in self._workers):
            return False
        return not self._has_served or all(worker.is_hopeless for worker in self._workers)

    def _roll(self) -> None:
        """Replace the next worker, once all others, and so the last one that was replaced, accept requests."""
        if self._rolling and all(worker.accepts for worker in self._workers):
            self._rolling.pop(0).stop()

    def _start_those_due(self) -> None:
        for worker in self._wanted:
            if not self._stopping and worker.starts_at is not None and worker.starts_at <= now():
                try:
                    worker.start()
                except (OSError, RuntimeError) as error:  # out of descriptors, processes or memory: the others go on
                    self._status = worker.not_started(error)

    @property
    def _wanted(self) -> list[Worker]:
        """The workers that run or are to be started."""
        # The first one alone at first: what is wrong with the settings is then said once.
        return self._workers if self._has_served else self._workers[:1]

    def _note_serving(self) -> None:
        if self._has_served or self._workers[0].serving is None:
            return
        self._has_served = True
        serving = self._workers[0].serving
        self._on_serving(serving["serves"], serving["address"])
        self._start_those_due()

    def _patience(self) -> float | None:
        """Seconds until another worker has to be started; None if none has to be."""
        if self._stopping:
            return None
        due = [worker.starts_at for worker in self._wanted if worker.starts_at is not None]
        return max(0.0, min(due) - now()) if due else None
