"""Calls happen when their time is over, unless they were called off."""

from __future__ import annotations

import threading

import pytest

from fly_orm.concurrency.alarm import Alarm


@pytest.fixture
def alarm():
    made = Alarm("test alarm")
    yield made
    made.close()


def test_a_call_happens_when_its_time_is_over(alarm):
    called = threading.Event()
    alarm.set(0.01, called.set)
    assert called.wait(10)


def test_an_earlier_call_overtakes_a_later_one(alarm):
    order, done = [], threading.Event()
    alarm.set(60, lambda: order.append("late"))
    alarm.set(0.01, lambda: (order.append("early"), done.set()))
    assert done.wait(10)
    assert order == ["early"]


def test_what_is_called_off_never_happens(alarm):
    called, later = threading.Event(), threading.Event()
    alarm.set(0.01, called.set)()
    alarm.set(0.05, later.set)
    assert later.wait(10)
    assert not called.is_set()


def test_a_block_that_ends_in_time_is_not_disturbed(alarm):
    called, later = threading.Event(), threading.Event()
    with alarm.limit(0.01, called.set):
        pass
    with alarm.limit(None, called.set):
        pass
    alarm.set(0.05, later.set)
    assert later.wait(10)
    assert not called.is_set()


def test_closing_ends_the_thread_and_takes_no_more(alarm):
    alarm.set(60, lambda: None)
    alarm.close()
    assert not alarm._thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        alarm.set(1, lambda: None)


def test_a_call_in_more_time_than_a_clock_holds_hinders_no_other(alarm):
    called = threading.Event()
    alarm.set(1e12, called.set)
    alarm.set(0.01, called.set)
    assert called.wait(10)
    called.clear()
    alarm.set(0.02, called.set)
    assert called.wait(10)


def test_a_call_that_raises_hinders_no_other_and_is_logged(alarm, caplog):
    called = threading.Event()
    alarm.set(0, lambda: 1 / 0)
    alarm.set(0.01, called.set)
    assert called.wait(10)
    assert "ZeroDivisionError" in caplog.text
