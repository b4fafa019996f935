"""A pool whose items cannot be opened for now makes do with those it has, and tries again after a while."""

from __future__ import annotations

import threading

import pytest

from fly_orm.concurrency import crowded_pool as pools
from fly_orm.concurrency.crowded_pool import CrowdedPool
from fly_orm.concurrency.pool import PoolTimeout
from fly_orm.deadline import Deadline


class NoRoomError(Exception):
    pass


class Item:
    def __init__(self, number):
        self.number = number


class Crowded:
    """Opens items while it has room."""

    def __init__(self):
        self.room = 0
        self.opened = 0
        self.attempts = 0

    def open(self, deadline):
        self.attempts += 1
        if self.opened >= self.room:
            raise NoRoomError("no room")
        self.opened += 1
        return Item(self.opened)

    def pool(self):
        return CrowdedPool(
            self.open,
            lambda item: None,
            max_size=8,
            max_opening=2,
            shared=NoRoomError,
            no_room=lambda error: isinstance(error, NoRoomError),
        )


@pytest.fixture
def long_pause(monkeypatch):
    monkeypatch.setattr(pools, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(pools, "LONGEST_PAUSE", 1000.0)


def later(function):
    got = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    return thread, got


def test_a_caller_waits_for_an_item_that_is_in_use(long_pause):
    crowded = Crowded()
    crowded.room = 1
    pool = crowded.pool()
    item = pool.acquire(Deadline.after(None))
    thread, got = later(lambda: pool.acquire(Deadline.after(60)))
    while not pool._waiting:
        threading.Event().wait(0.001)
    pool.release(item)
    thread.join()
    assert got == [item]
    assert crowded.attempts == 2


def test_without_any_item_callers_are_told_at_once_and_nothing_is_tried_during_the_pause(long_pause):
    crowded = Crowded()
    pool = crowded.pool()
    for _ in range(3):
        with pytest.raises(NoRoomError):
            pool.acquire(Deadline.after(60))
    assert crowded.attempts == 1


def test_another_is_opened_once_there_is_room_though_none_was_released(monkeypatch):
    monkeypatch.setattr(pools, "FIRST_PAUSE", 0.001)
    crowded = Crowded()
    crowded.room = 1
    pool = crowded.pool()
    held = pool.acquire(Deadline.after(None))
    thread, got = later(lambda: pool.acquire(Deadline.after(60)))
    while crowded.attempts < 3:
        threading.Event().wait(0.001)
    crowded.room = 2
    thread.join()
    assert [each.number for each in (held, *got)] == [1, 2]


def test_a_caller_is_told_at_its_deadline():
    crowded = Crowded()
    crowded.room = 1
    pool = crowded.pool()
    held = pool.acquire(Deadline.after(None))
    with pytest.raises((NoRoomError, PoolTimeout)):
        pool.acquire(Deadline.after(0.05))
    pool.release(held)


def test_some_idle_items_are_kept():
    crowded = Crowded()
    crowded.room = 5
    pool = crowded.pool()
    items = [pool.acquire(Deadline.after(None)) for _ in range(5)]
    for item in items:
        pool.release(item)
    assert pool.close_idle(1000, keep=2) is not None
    assert pool.idle == 5
    assert pool.close_idle(0, keep=2) is None
    assert [pool.acquire(Deadline.after(None)).number for _ in range(2)] == [5, 4]
