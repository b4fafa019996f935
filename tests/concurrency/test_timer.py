"""A timer calls functions after a delay, unless the call is cancelled first."""

from __future__ import annotations

import threading

import pytest

from fly_orm.concurrency.timer import Timer
from fly_orm.testing.contract.tools import in_child
from tests.support.waiting import until


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


def test_closing_cancels_all_calls_and_takes_no_more(timer):
    called, later = threading.Event(), threading.Event()
    timer.call_later(0.01, called.set)
    timer.close()
    with pytest.raises(RuntimeError, match="closed"):
        timer.call_later(1, lambda: None)
    other = Timer("another timer")
    other.call_later(0.05, later.set)
    assert later.wait(10)
    assert not called.is_set()


def test_closing_waits_for_the_call_that_is_being_made(timer):
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def function():
        begun.set()
        go_on.wait(10)
        ended.set()

    timer.call_later(0, function)
    assert begun.wait(10)
    threading.Timer(0.05, go_on.set).start()
    timer.close()
    assert ended.is_set()


def test_a_call_may_close_its_own_timer(timer):
    closed = threading.Event()
    timer.call_later(0, lambda: (timer.close(), closed.set()))
    assert closed.wait(10)


def test_many_timers_share_a_thread_that_ends_when_nothing_is_pending(monkeypatch):
    end_soon(monkeypatch)
    timers = [Timer("one of many") for _ in range(20)]
    for timer in timers:
        timer.call_later(3600, lambda: None)
    cancelled = threading.Event()
    timers[0].call_later(7200, cancelled.set)()
    until(threads)
    assert len(threads()) == 1
    for timer in timers:
        timer.close()
    until(lambda: not threads())
    called = threading.Event()
    Timer("a later one").call_later(0, called.set)
    assert called.wait(10)


def test_a_cancelled_call_keeps_no_thread(timer, monkeypatch):
    end_soon(monkeypatch)
    timer.call_later(3600, lambda: None)()
    until(lambda: not threads())


def test_a_forked_child_has_calls_of_its_own_only(timer):
    timer.call_later(60, lambda: None)

    def child():
        called = threading.Event()
        timer.call_later(0.01, called.set)
        assert called.wait(10)
        assert len(threads()) == 1

    in_child(child)


def end_soon(monkeypatch):
    """Let the thread end soon after the last call, and begin without one."""
    monkeypatch.setattr("fly_orm.concurrency.timer.LINGER", 0.05)
    Timer("to wake the thread").call_later(0, lambda: None)
    until(lambda: not threads())


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "fly_orm timer"]


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
