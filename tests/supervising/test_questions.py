"""What a supervisor asks its workers, whatever they do."""

from __future__ import annotations

from multiprocessing import Pipe

from fly_orm.serving.readiness import Problem
from fly_orm.sharing.leash import ANSWER, ASK, Leash
from fly_orm.supervising.questions import Questions
from fly_orm.testing.contract.tools import in_thread
from tests.support.waiting import PATIENCE, until


def test_a_worker_that_is_stopped_blocks_nobody_and_answers_the_last_one_who_asked():
    own, theirs = Pipe()
    questions, noted = Questions("worker 1"), []
    leash = Leash(own, questions.answered, lambda: None, "fly_orm worker 1")

    def ask_often():
        for number in range(20_000):
            questions.ask(leash, lambda problems, number=number: noted.append((number, problems)))

    in_thread(ask_often).result(PATIENCE)
    asked = []
    worker = Leash(theirs, lambda message: asked.append(message[ASK]), lambda: None, "fly_orm supervisor")

    def answer():
        until(lambda: asked)
        worker.send(**{ANSWER: asked.pop(), "problems": [["busy", "very"]]})

    answer()
    until(lambda: noted)
    assert noted == [(19_999, [Problem("worker 1: busy", "very")])]
    questions.ask(leash, lambda problems: noted.append(("again", problems)))
    answer()
    until(lambda: len(noted) == 2)
    assert noted[1][0] == "again"
    theirs.close()
