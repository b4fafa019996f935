"""Which worker leaves a connection to another one."""

import pytest

from fly_orm.sharing.board import Board
from fly_orm.sharing.turns import Turns


@pytest.fixture
def workers():
    """The turns of three workers, all of which accept."""
    board = Board.make(3)
    found = [Turns(board, number) for number in range(3)]
    for each in found:
        each.begin()
    return found


def passes(workers, *, waited=False):
    return [each.passes(waited=waited) for each in workers]


def test_those_with_the_fewest_channels_accept(workers):
    assert passes(workers) == [False, False, False]
    workers[0].opened()
    assert passes(workers) == [True, False, False]
    workers[1].opened()
    assert passes(workers) == [True, True, False]
    workers[0].closed()
    assert passes(workers) == [False, True, False]


def test_a_connection_that_others_did_not_take_is_accepted_by_any(workers):
    workers[0].opened()
    assert passes(workers, waited=True) == [False, False, False]


def test_a_worker_that_leaves_accepts_nothing_as_long_as_another_does(workers):
    workers[0].leave()
    assert passes(workers, waited=True) == [True, False, False]
    workers[1].opened()
    workers[2].opened()
    assert passes(workers) == [True, False, False]  # the first one is not waited for
    workers[1].leave()
    workers[2].leave()
    assert passes(workers) == [False, False, False]


def test_a_worker_with_two_more_than_another_has_too_many(workers):
    for worker, count in zip(workers, (3, 1, 2), strict=True):
        for _ in range(count):
            worker.opened()
    assert workers[0].exceeds(3)
    assert not workers[0].exceeds(2)  # the other one is a stranger's
    assert not workers[2].exceeds(2)
    workers[1].leave()
    assert not workers[0].exceeds(3)
    workers[2].leave()
    assert not workers[0].exceeds(3)


def test_a_worker_that_has_ended_is_not_waited_for():
    board = Board.make(2)
    turns = [Turns(board, number) for number in range(2)]
    for each in turns:
        each.begin()
    turns[0].opened()
    board.clear(1)
    assert not turns[0].passes(waited=False)
