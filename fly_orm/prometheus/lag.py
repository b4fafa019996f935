"""Asks replicas how far behind they are, without waiting for long."""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakKeyDictionary

import psycopg2

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..concurrency.timer import TimerClosed
from ..local.replication import Replication
from ..routing.router import Router

#: Seconds that a replica may take to answer: who asks for the metrics is waiting.
ANSWER_TIMEOUT = 1.0


class LagMeter:
    """Knows how the replica of each database follows its primary. Used by one thread at a time."""

    def __init__(self) -> None:
        self._questions: WeakKeyDictionary[Router, _Question] = WeakKeyDictionary()

    def read(self, router: Router) -> Replication | None:
        """How the replica follows its primary; None if it is not a replica, or does not answer in time."""
        question = self._questions.get(router)
        if question is None or question.ended.is_set():
            question = self._questions[router] = _Question(router)
            question.ended.wait(ANSWER_TIMEOUT)
        return question.answer  # of a server that hangs, nobody waits for the answer again


class _Question:
    """Asks a replica once, on a thread of its own: to connect to a server that hangs takes long."""

    def __init__(self, router: Router) -> None:
        self.answer: Replication | None = None
        self.ended = Latch()
        replica = router.local.replica

        def ask() -> None:
            try:
                with suppress(psycopg2.Error, TimerClosed):  # the log says elsewhere what is wrong
                    self.answer = replica.replication()
            finally:
                self.ended.set()

        try:
            start_thread(ask, "fly_orm replica lag")
        except RuntimeError:  # no thread can be started
            self.ended.set()
