"""A timer calls functions after a delay, unless the call is cancelled first."""

from __future__ import annotations

import threading

import pytest

from fly_orm.concurrency.timer import Timer


@pytest.fixture
def timer():
    made = Timer("test timer")
    yield made
    made.close()


def test_a_call_happens_when_its_time_is_over(timer):
    called = threading.Event()
    timer.call_later(0.01, called.set)
    assert called.wait(10)


def test_an_earlier_call_overtakes_a_later_one(timer):
    order, done = [], threading.Event()
    timer.call_later(60, lambda: order.append("late"))
    timer.call_later(0.01, lambda: (order.append("early"), done.set()))
    assert done.wait(10)
    assert order == ["early"]


def test_a_cancelled_call_never_happens(timer):
    called, later = threading.Event(), threading.Event()
    timer.call_later(0.01, called.set)()
    timer.call_later(0.05, later.set)
    assert later.wait(10)
    assert not called.is_set()


def test_a_block_that_ends_in_time_is_not_disturbed(timer):
    called, later = threading.Event(), threading.Event()
    with timer.limit(0.01, called.set):
        pass
    with timer.limit(None, called.set):
        pass
    timer.call_later(0.05, later.set)
    assert later.wait(10)
    assert not called.is_set()


def test_closing_ends_the_thread_and_takes_no_more(timer):
    timer.call_later(60, lambda: None)
    timer.close()
    assert not timer._thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        timer.call_later(1, lambda: None)


def test_a_call_in_more_time_than_a_clock_holds_hinders_no_other(timer):
    called = threading.Event()
    timer.call_later(1e12, called.set)
    timer.call_later(0.01, called.set)
    assert called.wait(10)
    called.clear()
    timer.call_later(0.02, called.set)
    assert called.wait(10)


def test_a_call_that_raises_hinders_no_other_and_is_logged(timer, caplog):
    called = threading.Event()
    timer.call_later(0, lambda: 1 / 0)
    timer.call_later(0.01, called.set)
    assert called.wait(10)
    assert "ZeroDivisionError" in caplog.text
