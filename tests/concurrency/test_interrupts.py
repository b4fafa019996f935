"""A signal handler that raises while a thread waits, or wakes another one, holds up nobody else."""

from __future__ import annotations

import itertools
import threading

import pytest

from fly_orm.concurrency.background import BackgroundTask
from fly_orm.concurrency.fair_semaphore import FairSemaphore, Holder
from fly_orm.concurrency.latch import Bell, Latch
from fly_orm.concurrency.threads import start_thread
from fly_orm.concurrency.timer import Timer
from fly_orm.testing.contract.interrupting import at_every_moment, interrupted_at
from fly_orm.testing.contract.tools import in_thread, result, within
from tests.support.waiting import until


def every_moment(prepare, operation):
    """Prepare something and interrupt the operation on it, each time one moment later; the values are what it was."""
    for moment in itertools.count(1):
        thing = prepare()
        interrupted = interrupted_at(moment, lambda thing=thing: operation(thing))
        yield thing
        if not interrupted:
            return


def test_an_event_of_the_standard_library_would_not_do():
    """Which is why there are latches. If this fails, Python has changed."""
    left_acquired, left_released = "did not return", "release unlocked lock"
    with pytest.raises((AssertionError, RuntimeError), match=f"{left_acquired}|{left_released}"):
        for event in every_moment(threading.Event, lambda event: event.wait(0)):
            within(0.3, event.set)


class TestLatch:
    @pytest.mark.parametrize("timeout", [0, 0.001, 1e12, None])
    def test_nobody_waits_for_one_that_is_set(self, timeout):
        latch = Latch()
        assert not latch.wait(0)
        latch.set()
        assert latch.is_set()
        assert latch.wait(timeout)

    def test_an_interrupted_wait_holds_up_no_other_thread(self):
        for latch in every_moment(Latch, lambda latch: latch.wait(0)):
            within(5, latch.set)
            assert within(5, latch.wait)

    def test_an_interrupted_set_leaves_no_thread_asleep(self):
        def prepare():
            latch = Latch()
            waits = [in_thread(latch.wait, 60) for _ in range(2)]
            until(lambda: len(latch._bells) == 2)
            return latch, waits

        for latch, waits in every_moment(prepare, lambda prepared: prepared[0].set()):
            if not latch.is_set():
                within(5, latch.set)
            assert all(result(wait) for wait in waits)

    def test_a_signal_handler_may_set_it_at_any_moment_of_a_wait(self):
        """As that of ``fly-orm serve`` does. An Event would wait for the lock of the wait that is interrupted."""
        latches = [Latch()]
        for _ in at_every_moment(lambda: latches[-1].wait(0), lambda: latches[-1].set()):
            assert latches[-1].is_set()
            latches.append(Latch())


def test_a_bell_that_rings_too_early_is_heard():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)


class TestFairSemaphore:
    def test_as_many_have_one_as_may_in_the_order_in_which_they_came(self):
        semaphore, holders = FairSemaphore(2), [Holder() for _ in range(4)]
        assert [semaphore.take(holder, 0) for holder in holders] == [True, True, False, False]
        semaphore.leave(holders[2])
        semaphore.leave(holders[0])
        assert [holder.admitted.is_set() for holder in holders] == [True, True, False, True]

    def test_an_interrupt_at_any_moment_leaves_the_slot_to_others(self):
        semaphore = FairSemaphore()

        def use():
            holder = Holder()
            try:
                assert semaphore.take(holder, 5)
            finally:
                semaphore.leave(holder)

        for _ in at_every_moment(use):
            within(5, use)


class TestThreads:
    def test_an_interrupted_start_leaves_no_thread_that_hangs(self):
        for ended in every_moment(Latch, lambda ended: start_thread(ended.set, "to be interrupted")):
            del ended
            until(lambda: not [thread for thread in threading.enumerate() if thread.name == "to be interrupted"])

    def test_a_task_can_be_started_again_after_an_interrupted_start(self):
        task = BackgroundTask("to be interrupted", lambda ran: ran.set())
        for ran in every_moment(Latch, task.start):
            until(lambda ran=ran: task.start(ran) or ran.wait(0.01))


class TestTimer:
    def test_an_interrupted_limit_hinders_no_other_call(self):
        timer, ended = Timer("to be interrupted"), []

        def use():
            with timer.limit(3600, lambda: ended.append("too early")):
                pass

        for _ in at_every_moment(use):
            called = Latch()
            within(5, timer.call_later, 0, called.set)
            assert called.wait(5)
        within(5, timer.close)
        assert ended == []

    def test_an_interrupted_block_is_not_limited_any_more(self):
        """Even if the interrupt keeps the context manager from being told about the end of the block."""
        timer, broken, later = Timer("to be interrupted"), [], Latch()

        def use():
            with timer.limit(0.5, lambda: broken.append("what is used by others now")):
                pass

        for _ in at_every_moment(use):
            pass
        timer.call_later(0.6, later.set)
        assert later.wait(10)
        timer.close()
        assert broken == []

    def test_a_timer_can_be_closed_after_an_interrupted_close(self):
        def prepare():
            timer = Timer("to be interrupted")
            timer.call_later(3600, lambda: None)
            return timer

        for timer in every_moment(prepare, Timer.close):
            within(5, timer.close)
