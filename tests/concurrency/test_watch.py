"""A watch looks while something is in use, and no longer."""

import weakref

from fly_orm.concurrency.timer import Timer
from fly_orm.concurrency.watch import Watch
from tests.support.waiting import until


class Owner:
    def __init__(self, timer: Timer) -> None:
        self.in_use = False
        self.looks = 0
        self.watch = Watch(timer, self.look)

    def look(self) -> bool:
        self.looks += 1
        return self.in_use


def test_it_looks_as_long_as_something_is_in_use() -> None:
    owner = Owner(Timer("test"))
    owner.in_use = True
    owner.watch.begin()
    until(lambda: owner.looks > 15)  # more often than it would look at nothing
    owner.in_use = False
    until(lambda: not owner.watch._looking)


def test_it_begins_again_after_it_has_ended() -> None:
    owner = Owner(Timer("test"))
    owner.watch.begin()
    until(lambda: not owner.watch._looking)
    before = owner.looks
    owner.in_use = True
    owner.watch.begin()
    until(lambda: owner.looks > before)
    owner.in_use = False


def test_what_begins_during_the_last_look_is_looked_at() -> None:
    owner = Owner(Timer("test"))
    found = []

    def look() -> bool:
        owner.looks += 1
        if owner.looks == 11:  # the last look at nothing is over, and the flag is still set
            owner.in_use = True
            owner.watch.begin()
            return False
        found.append(owner.in_use)
        return owner.in_use

    owner.look = look  # type: ignore[method-assign]
    owner.watch._look = lambda: look  # type: ignore[assignment]
    owner.watch.begin()
    until(lambda: found[-1:] == [True] and owner.looks > 13)
    owner.in_use = False


def test_it_does_not_keep_its_owner_alive() -> None:
    owner = Owner(Timer("test"))
    owner.watch.begin()
    reference = weakref.ref(owner)
    del owner
    assert reference() is None
