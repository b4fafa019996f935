"""Asks replicas how far behind they are, without waiting for long."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakKeyDictionary

import psycopg2

from ..concurrency.latch import Latch
from ..concurrency.threads import start_thread
from ..concurrency.timer import TimerClosed
from ..deadline import Deadline, now
from ..errors import FlyOrmError
from ..local.replication import Replication
from ..routing.router import Router

#: Seconds that replicas may take to answer: whoever asks for the metrics is waiting.
ANSWER_TIMEOUT = 1.0


#: Seconds after which a server that was not a replica is asked again: it may have become one.
PRIMARY_INTERVAL = 60.0


class LagMeter:
    """Knows how the replica of each database follows its primary. Used by one thread at a time."""

    def __init__(self) -> None:
        self._questions: WeakKeyDictionary[Router, _Question] = WeakKeyDictionary()

    def read(self, routers: Iterable[Router]) -> list[tuple[Router, Answer]]:
        """What the server of each has answered."""
        asked = [(router, self._questions.get(router)) for router in routers]
        due = {router: _Question(router) for router, question in asked if question is None or question.is_old}
        self._questions.update(due)
        deadline = Deadline.after(ANSWER_TIMEOUT)
        for question in due.values():  # of a server that hangs, nobody waits for the answer again
            question.ended.wait(deadline.remaining())
        return [(router, self._questions[router].answer) for router, _ in asked]


class Answer(NamedTuple):
    """What is known of a server."""

    replication: Replication | None = None
    """How it follows its primary; None if it is not a replica, or does not answer in time."""
    is_silent: bool = True
    """Whether it cannot be reached, or does not answer in time."""


class _Question:
    """Asks a replica once, on a thread of its own: to connect to a server that hangs takes long."""

    def __init__(self, router: Router) -> None:
        self.answer = Answer()
        self.ended = Latch()
        self._ask_at = now()
        replica = router.local.replica

        def ask() -> None:
            try:
                with suppress(psycopg2.Error, TimerClosed, FlyOrmError):  # the log says elsewhere what is wrong
                    replica.look()
                    self.answer = Answer(replica.replication(), is_silent=False)
                    if self.answer.replication is None:
                        self._ask_at = now() + PRIMARY_INTERVAL
            finally:
                self.ended.set()

        try:
            start_thread(ask, "fly_orm replica lag")
        except RuntimeError:  # no thread can be started
            self.ended.set()

    @property
    def is_old(self) -> bool:
        """Whether another question is due."""
        return self.ended.is_set() and now() >= self._ask_at
