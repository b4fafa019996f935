"""What a supervisor asks its workers, whatever they do."""

from __future__ import annotations

from multiprocessing import Pipe

from fly_orm.serving.readiness import Problem
from fly_orm.sharing.leash import ANSWER, ASK, Leash
from fly_orm.supervising import questions
from fly_orm.supervising.questions import FIRST_PAUSE, Questions
from fly_orm.testing.contract.tools import in_thread
from tests.support.waiting import PATIENCE, until


def test_a_worker_that_is_stopped_blocks_nobody_and_answers_the_last_one_who_asked():
    own, theirs = Pipe()
    asking, noted = Questions("worker 1"), []
    leash = Leash(own, asking.answered, lambda: None, "fly_orm worker 1")
    leash.start()

    def ask_often():
        for number in range(20_000):
            asking.ask(leash, lambda problems, number=number: noted.append((number, problems)))

    in_thread(ask_often).result(PATIENCE)
    asked = []
    worker = Leash(theirs, lambda message: asked.append(message[ASK]), lambda: None, "fly_orm supervisor")
    worker.start()

    def answer():
        until(lambda: asked)
        worker.send(**{ANSWER: asked.pop(), "problems": [["busy", "very"]]})

    answer()
    until(lambda: noted)
    assert noted == [(19_999, [Problem("worker 1: busy", "very")])]
    asking.ask(leash, lambda problems: noted.append(("again", problems)))
    answer()
    until(lambda: len(noted) == 2)
    assert noted[1][0] == "again"
    theirs.close()


class Sent:
    """A leash of which only the questions are looked at."""

    def __init__(self):
        self.numbers = []

    def send(self, **message):
        self.numbers.append(message[ASK])


def test_a_worker_whose_answer_was_lost_is_asked_again_but_ever_more_rarely(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(questions, "now", lambda: clock[0])
    asking, leash, noted, at = Questions("worker 1"), Sent(), [], []
    for second in range(86_400):
        clock[0] = 1000.0 + second
        asking.ask(leash, noted.append)
        if len(leash.numbers) > len(at):
            at.append(second)
    assert at[:4] == [0, FIRST_PAUSE, 3 * FIRST_PAUSE, 7 * FIRST_PAUSE]
    assert len(at) < 20
    asking.answered({ANSWER: 1, "problems": []})
    assert noted == [[]]
    asking.ask(leash, noted.append)
    clock[0] += FIRST_PAUSE
    asking.ask(leash, noted.append)
    assert len(leash.numbers) == len(at) + 2
