"""A bounded pool serves in order and loses nothing."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

import pytest

from fly_orm.concurrency.pool import Pool, PoolTimeout
from fly_orm.deadline import Deadline
from fly_orm.testing.contract.interrupting import at_every_moment, interrupted_at
from fly_orm.testing.contract.tools import in_thread, result, within

SOON = Deadline.after(None)


@dataclass(frozen=True, order=True)
class Item:
    number: int


class Factory:
    def __init__(self):
        self.numbers = itertools.count()
        self.closed = []
        self.fails = False

    def open(self, deadline):
        if self.fails:
            raise OSError("cannot open")
        return Item(next(self.numbers))


def make(max_size=2):
    factory = Factory()
    return Pool(factory.open, factory.closed.append, max_size=max_size), factory


def of(*numbers):
    return [Item(number) for number in numbers]


def idle(pool):
    return [place.item for place in pool._idle]


def waiting(pool, count):
    """Wait until so many callers wait in the queue."""
    while len(pool._waiting) < count:
        threading.Event().wait(0.001)


def acquire_later(pool, got):
    thread = threading.Thread(target=lambda: got.append(pool.acquire(Deadline.after(30))))
    thread.start()
    return thread


def test_the_item_used_last_is_lent_first():
    pool, _ = make()
    one, two = pool.acquire(SOON), pool.acquire(SOON)
    pool.release(one)
    pool.release(two)
    assert pool.acquire(SOON) == two


def test_no_more_than_the_maximum_is_opened():
    pool, factory = make(max_size=2)
    lent = [pool.acquire(SOON), pool.acquire(SOON)]
    with pytest.raises(PoolTimeout, match=r"all 2 stayed in use for 0\.01 s"):
        pool.acquire(Deadline.after(0.01))
    assert next(factory.numbers) == len(lent)


def test_callers_are_served_in_the_order_in_which_they_came():
    pool, _ = make(max_size=1)
    item = pool.acquire(SOON)
    order, threads = [], []
    for number in range(5):
        got = []
        thread = threading.Thread(
            target=lambda number=number, got=got: (
                got.append(pool.acquire(SOON)),
                order.append(number),
                pool.release(item),
            )
        )
        thread.start()
        threads.append(thread)
        waiting(pool, number + 1)
    pool.release(item)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_discarded_item_makes_room_for_a_waiting_caller():
    pool, factory = make(max_size=1)
    first = pool.acquire(SOON)
    got = []
    thread = acquire_later(pool, got)
    waiting(pool, 1)
    pool.discard(first)
    thread.join()
    assert got == [Item(1)]
    assert factory.closed == [first]


def test_who_replaces_an_item_does_not_queue_again():
    pool, factory = make(max_size=1)
    first = pool.acquire(SOON)
    got = []
    thread = acquire_later(pool, got)
    waiting(pool, 1)
    second = pool.replace(first, SOON)
    assert (second, factory.closed, got) == (Item(1), [first], [])
    pool.release(second)
    thread.join()
    assert got == [second]


def test_a_replacement_that_fails_gives_its_room_back():
    pool, factory = make(max_size=1)
    first = pool.acquire(SOON)
    factory.fails = True
    with pytest.raises(OSError, match="cannot open"):
        pool.replace(first, SOON)
    factory.fails = False
    assert pool.acquire(SOON) == Item(1)


def test_a_failed_opening_gives_its_room_back():
    pool, factory = make(max_size=1)
    factory.fails = True
    for _ in range(3):
        with pytest.raises(OSError, match="cannot open"):
            pool.acquire(SOON)
    factory.fails = False
    assert pool.acquire(SOON) == Item(0)


def test_a_caller_that_gave_up_takes_nothing():
    pool, _ = make(max_size=1)
    item = pool.acquire(SOON)
    with pytest.raises(PoolTimeout):
        pool.acquire(Deadline.after(0))
    pool.release(item)
    assert pool.acquire(SOON) == item


def test_warming_opens_until_enough_are_idle_and_no_more_than_fit():
    pool, _ = make(max_size=3)
    pool.warm(2, SOON)
    assert sorted(idle(pool)) == of(0, 1)
    pool.warm(10, SOON)
    assert sorted(idle(pool)) == of(0, 1, 2)


def test_closing_closes_what_is_idle_and_what_comes_back():
    pool, factory = make()
    idle, lent = pool.acquire(SOON), pool.acquire(SOON)
    pool.release(idle)
    pool.close()
    assert factory.closed == [idle]
    pool.release(lent)
    assert factory.closed == [idle, lent]


def test_many_threads_share_few_items_and_never_the_same_at_once():
    pool, _ = make(max_size=3)
    in_use, clashes = set(), []

    def work():
        for _ in range(200):
            item = pool.acquire(Deadline.after(30))
            if item in in_use:
                clashes.append(item)
            in_use.add(item)
            in_use.discard(item)
            pool.release(item)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert len(idle(pool)) <= 3


def test_closing_ends_the_wait_of_callers_in_the_queue():
    pool, factory = make(max_size=1)
    item, got = pool.acquire(SOON), []

    def wait():
        try:
            pool.acquire(Deadline.after(30))
        except PoolTimeout as error:
            got.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting(pool, 1)
    pool.close()
    thread.join(10)
    pool.release(item)
    assert got == ["the pool was closed"]
    assert factory.closed == [item]


def test_what_has_been_idle_for_long_is_closed_and_the_one_used_last_can_stay_longer():
    pool, factory = make(max_size=3)
    items = [pool.acquire(SOON) for _ in range(3)]
    for item in items[:2]:
        pool.release(item)
    assert pool.close_idle(60) == pytest.approx(60, abs=10)
    assert pool.close_idle(0, last=60) == pytest.approx(60, abs=10)
    assert factory.closed == of(0)
    assert pool.close_idle(0) is None
    assert factory.closed == of(0, 1)
    others = [pool.acquire(SOON) for _ in range(2)]  # in their places
    assert others == of(3, 4)
    with pytest.raises(PoolTimeout):
        pool.acquire(Deadline.after(0))


class SlowFactory(Factory):
    """Opens an item only when it is told to."""

    def __init__(self):
        super().__init__()
        self.turns = threading.Semaphore(0)
        self.opening = 0

    def open(self, deadline):
        self.opening += 1
        self.turns.acquire()
        self.opening -= 1
        return super().open(deadline)


@pytest.fixture
def slow():
    factory = SlowFactory()
    return Pool(factory.open, factory.closed.append, max_size=5, max_opening=2, shared=OSError), factory


def test_no_more_are_opened_at_a_time_than_may_be(slow):
    pool, factory = slow
    got = []
    threads = [acquire_later(pool, got) for _ in range(5)]
    waiting(pool, 3)
    assert factory.opening == 2
    assert not pool.lacks(1)
    factory.turns.release()
    waiting(pool, 2)
    for _ in range(4):
        factory.turns.release()
    for thread in threads:
        thread.join()
    assert sorted(got) == of(0, 1, 2, 3, 4)


def test_who_waits_for_a_turn_to_open_takes_what_is_released_before(slow):
    pool, factory = slow
    factory.turns.release()
    first, got = pool.acquire(SOON), []
    threads = [acquire_later(pool, got) for _ in range(3)]
    waiting(pool, 1)
    pool.release(first)
    while first not in got:
        threading.Event().wait(0.001)
    factory.turns.release(2)
    for thread in threads:
        thread.join()
    assert pool.size == 3


def test_who_waits_for_a_turn_to_open_is_told_of_an_error(slow):
    pool, factory = slow
    errors = []

    def acquire():
        try:
            pool.acquire(Deadline.after(30))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=acquire) for _ in range(4)]
    for thread in threads:
        thread.start()
    waiting(pool, 2)
    factory.fails = True
    factory.turns.release(2)
    for thread in threads:
        thread.join()
    assert [str(error) for error in errors] == ["cannot open"] * 4
    assert len(set(map(id, errors))) == 4
    assert pool.size == 0


def test_an_interrupt_at_any_moment_loses_no_item_and_holds_up_no_other_caller():
    pool, _ = make(max_size=1)
    pool.release(pool.acquire(SOON))

    def use():
        pool.release(pool.acquire(Deadline.after(1)))

    for _ in at_every_moment(use):
        pool.release(within(5, pool.acquire, Deadline.after(4)))


def test_an_interrupt_at_any_moment_of_an_opening_leaves_the_place_to_others():
    pool, factory = make(max_size=1)

    def use():
        pool.discard(pool.replace(pool.acquire(Deadline.after(1)), SOON))

    moments = []
    for moment in at_every_moment(use):
        pool.discard(within(5, pool.acquire, Deadline.after(4)))
        moments.append(moment)
    assert len(factory.closed) > len(moments), "others should open an item each time"


@pytest.mark.parametrize("give_back", [Pool.release, Pool.discard])
def test_an_interrupt_at_any_moment_of_giving_back_lets_the_next_caller_go_on(give_back, monkeypatch):
    monkeypatch.setattr("fly_orm.concurrency.pool.LOOK_INTERVAL", 0.05)
    pool, _ = make(max_size=1)
    held = []

    def give():
        give_back(pool, held.pop())

    for moment in itertools.count(1):
        held.append(pool.acquire(SOON))
        got = []
        thread = acquire_later(pool, got)
        waiting(pool, 1)
        interrupted = interrupted_at(moment, give)
        thread.join(5)
        assert len(got) == 1, f"a caller waits, as another one was interrupted at moment {moment}"
        pool.release(got.pop())
        if not interrupted:
            break


def test_one_that_is_interrupted_in_the_queue_leaves_it():
    pool, _ = make(max_size=1)
    held = [pool.acquire(SOON)]

    def ask():
        with pytest.raises(PoolTimeout):
            pool.acquire(Deadline.after(0.001))

    for _ in at_every_moment(ask):
        assert not pool._waiting
    pool.release(held.pop())
    assert pool.acquire(Deadline.after(0))


def test_an_error_of_one_callers_own_is_not_anothers():
    """What a signal handler raises in the caller that opens an item means nothing to those that wait."""
    begun, go_on, numbers = threading.Event(), threading.Event(), itertools.count()

    def open_item(_deadline):
        if (number := next(numbers)) == 0:
            begun.set()
            assert go_on.wait(10)
            raise ArithmeticError
        return Item(number)

    pool = Pool(open_item, lambda _item: None, max_size=5, max_opening=1, shared=OSError)
    failing, got = in_thread(pool.acquire, SOON), []
    assert begun.wait(10)
    patient = acquire_later(pool, got)
    waiting(pool, 1)
    go_on.set()
    with pytest.raises(ArithmeticError):
        result(failing)
    patient.join()
    assert got == [Item(1)]
