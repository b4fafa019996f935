"""One user: what they do at random, and what they have seen, which they must never see older again."""

from __future__ import annotations

import os
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import fly_orm
from fly_orm.deadline import now
from fly_orm.sessions.context import current

from .shop import KEYS, Shown, grow_there, is_late_on_the_primary, look_there


class Seen(NamedTuple):
    """What a user has seen of a counter, and whether only a replica has shown that yet."""

    shown: Shown = (0, 0)
    only_on_a_replica: bool = False


@dataclass(frozen=True, kw_only=True)
class Stale:
    """A read that showed less than its user had seen."""

    at: float
    user: int
    shop: str
    key: int
    shown: Shown
    seen: Seen
    doing: str
    trail: list[str]
    """What the user did before, the latest last."""

    def __str__(self) -> str:
        what = f"user {self.user} saw {self.shown} of counter {self.key} after {self.seen}, through {self.shop}"
        return "\n".join([f"{what}, doing {self.doing}", *(f"    {line}" for line in self.trail)])


@dataclass(kw_only=True)
class User:
    """Travels between processes with what they have seen, and with a token of it for fly_orm."""

    number: int
    dice: random.Random
    carries: bool = True
    """Whether they take their token along."""
    token: str = ""
    seen: list[Seen] = field(default_factory=lambda: [Seen()] * KEYS)
    trail: deque[str] = field(default_factory=lambda: deque(maxlen=12))

    def request(self, visit: Visit) -> None:
        """Arrive somewhere, do some things there, and leave with a token."""
        with fly_orm.session():
            if self.carries:
                fly_orm.resume(self.token)
            self.note(f"arrives in process {os.getpid()} with {current().watermarks.positions()}")
            for _ in range(self.dice.randrange(1, 12)):
                visit.step(self)
            self.token = fly_orm.token()
            self.note(f"leaves with {current().watermarks.positions()}, doubts {current().watermarks.doubts()}")

    def note(self, what: str) -> None:
        """Remember what happened, to explain what is found."""
        self.trail.append(f"{now():.3f} {what}")


@dataclass(kw_only=True)
class Visit:
    """A user at one shop, where they read and write at random. ``found`` is told of what is stale."""

    shop: Any
    found: Callable[[Stale], None]
    counts: Counter[str]
    doing: str = ""

    def step(self, user: User) -> None:
        """Do one thing, which may fail."""
        act = user.dice.choice(_ACTS)
        self.doing = act.__name__
        act(self, user)
        self.counts[f"did {self.doing}"] += 1
        if user.dice.randrange(5) == 0:
            self.shop.leave()

    def read(self, user: User) -> None:
        key = user.dice.randrange(KEYS)
        self._check(user, key, self.shop.look(key))

    def write(self, user: User) -> None:
        key = user.dice.randrange(KEYS)
        self._wrote(user, {key: self.shop.grow(key)})

    def write_and_read(self, user: User) -> None:
        key = user.dice.randrange(KEYS)
        self._wrote(user, {key: self.shop.grow(key)})
        self._check(user, key, self.shop.look(key))

    def put_off(self, user: User) -> None:
        with fly_orm.wait_for("read"):
            for _ in range(user.dice.randrange(1, 4)):
                self.write(user)
            self.read(user)

    def read_on_the_primary(self, user: User) -> None:
        with fly_orm.primary():
            self.read(user)

    def read_something_old(self, user: User) -> None:
        """Which may be anything, and does not count as seen."""
        with user.dice.choice([fly_orm.replica(), fly_orm.wait_for("none")]):
            self.shop.look(user.dice.randrange(KEYS))
            self.counts["reads of something old"] += 1

    def transact(self, user: User) -> None:
        keys = sorted(user.dice.sample(range(KEYS), 2))  # in order, or transactions would deadlock
        undo = user.dice.randrange(3) == 0
        self._wrote(user, self.shop.transact(keys, lambda key, shown: self._check(user, key, shown), undo=undo))

    def read_a_snapshot(self, user: User) -> None:
        for key, shown in self.shop.snapshot(user.dice.sample(range(KEYS), 2)).items():
            self._check(user, key, shown)

    def call(self, user: User) -> None:
        keys = sorted(user.dice.sample(range(KEYS), 2))
        self._wrote(user, dict(zip(keys, map(_pair, grow_there(keys)), strict=True)))

    def call_to_read(self, user: User) -> None:
        key = user.dice.randrange(KEYS)
        self._check(user, key, _pair(look_there(key)))
        self._check(user, key, self.shop.look(key))

    def _wrote(self, user: User, grown: dict[int, Shown]) -> None:
        """Note what was written: more than what was seen, or it went to a primary of an older timeline."""
        for key, shown in grown.items():
            self.counts["writes"] += 1
            user.note(f"wrote {shown} to {key}: {fly_orm.why()}")
            if shown <= user.seen[key].shown:
                self._found(user, key, shown)
            else:
                user.seen[key] = Seen(shown)

    def _check(self, user: User, key: int, shown: Shown) -> None:
        served, seen = fly_orm.why(), user.seen[key]
        user.note(f"read {shown} of {key} through {self.shop.name}: {served}")
        local = served is not None and served.route is fly_orm.Route.LOCAL  # None directly on the primary
        self.counts["reads"] += 1
        self.counts["local reads"] += local
        if shown >= seen.shown:
            user.seen[key] = Seen(shown, local and (shown > seen.shown or seen.only_on_a_replica))
        elif not self._is_late(key, seen, local=local):
            self._found(user, key, shown)

    def _found(self, user: User, key: int, shown: Shown) -> None:
        self.found(
            Stale(
                at=now(),
                user=user.number,
                shop=self.shop.name,
                key=key,
                shown=shown,
                seen=user.seen[key],
                doing=self.doing,
                trail=list(user.trail),
            )
        )

    def _is_late(self, key: int, seen: Seen, *, local: bool) -> bool:
        return not local and seen.only_on_a_replica and is_late_on_the_primary(self.shop, key, seen.shown)


def _pair(shown: Any) -> Shown:
    epoch, value = shown
    return epoch, value


_ACTS: list[Callable[[Visit, User], None]] = [
    *[Visit.read] * 4, *[Visit.write_and_read] * 3, Visit.write, Visit.put_off, Visit.read_on_the_primary,
    Visit.read_something_old, Visit.transact, Visit.read_a_snapshot, Visit.call, Visit.call_to_read,
]  # fmt: skip
