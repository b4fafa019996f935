"""A worker answers its supervisor's questions, whatever becomes of the answer, and whenever they come."""

import json
import os
from dataclasses import replace

import pytest

from fly_orm.concurrency.latch import Latch
from fly_orm.sharing import leash, membership
from fly_orm.sharing.leash import ANSWER, ASK, SERVES
from fly_orm.sharing.membership import Membership
from fly_orm.supervising.estate import Estate
from tests.support.waiting import PATIENCE


class Supervisor:
    """The other end of the leash of one worker."""

    def __init__(self):
        self._estate = Estate(1, "pyro5", "127.0.0.1:0", [])
        inherited, self.leash, theirs = self._estate.bequeath(0)
        with theirs:
            self.inherited = replace(
                inherited,
                leash=os.dup(inherited.leash),
                inbox=os.dup(inherited.inbox),
                outboxes=(),  # it has no siblings
            )

        self.lost = Latch()
        """Set once the worker has noticed that its supervisor has ended."""

    def worker(self):
        self._worker = Membership(self.inherited, self.lost.set)
        return self._worker

    def send(self, **message):
        self.leash.send_bytes(json.dumps(message).encode())

    def received(self):
        assert self.leash.poll(PATIENCE), "no message came"
        return json.loads(self.leash.recv_bytes())

    def close(self):
        self.leash.close()
        self._estate.close()
        assert self.lost.wait(PATIENCE)
        self._worker.siblings._inbox.close()


@pytest.fixture
def supervisor():
    made = Supervisor()
    yield made
    made.close()


def serving(supervisor, problems):
    supervisor.worker().serves(["shop"], "127.0.0.1:7700", problems)
    assert supervisor.received() == {SERVES: ["shop"], "address": "127.0.0.1:7700"}


def test_a_question_that_came_before_the_worker_is_answered(supervisor, monkeypatch):
    """The thread that receives it gets ahead of the one that makes the worker."""
    dealt_with = Latch()

    def reply(run, _):
        try:
            run()
        finally:
            dealt_with.set()

    start_thread = leash.start_thread
    monkeypatch.setattr(leash, "start_thread", lambda *each: start_thread(*each) or dealt_with.wait(PATIENCE))
    monkeypatch.setattr(membership, "start_thread_or_run", reply)
    supervisor.send(**{ASK: 1})
    worker = supervisor.worker()
    assert supervisor.received() == {ANSWER: 1, "problems": [["it is starting", ""]]}
    worker.serves([], "", list)


def test_a_check_that_fails_is_answered_and_so_is_the_next_question(supervisor, caplog):
    found = [MemoryError("none left"), []]

    def problems():
        if isinstance(found[0], Exception):
            raise found.pop(0)
        return found[0]

    serving(supervisor, problems)
    supervisor.send(**{ASK: 1})
    failed = ["the check of its readiness failed; its log says why", ""]
    assert supervisor.received() == {ANSWER: 1, "problems": [failed]}
    assert "cannot find out whether this worker is ready" in caplog.text
    supervisor.send(**{ASK: 2})
    assert supervisor.received() == {ANSWER: 2, "problems": []}


def test_an_answer_fits_into_a_message_however_long_the_problems_are(supervisor):
    serving(supervisor, lambda: [("ж" * 10_000, "\0" * 10_000)] * 1000)
    supervisor.send(**{ASK: 1})
    assert supervisor.leash.poll(PATIENCE)
    assert len(supervisor.leash.recv_bytes()) <= leash._MOST_BYTES
