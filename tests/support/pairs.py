"""Pairs of a write and a read of what was written, by many threads, and how many of the reads missed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fly_orm


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What became of the pairs."""

    pairs: int = 0
    local: int = 0
    """How many were read on the local replica."""
    missed: int = 0
    """How many did not read what had been written."""

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(pairs=self.pairs + other.pairs, local=self.local + other.local, missed=self.missed + other.missed)


def write_and_read(database: Any, model: Any, *, pairs: int, threads: int) -> Pairs:
    """What became of at least so many pairs: each thread inserts a row and reads it, updates it and reads it, …

    ``model`` has an integer field ``number`` and a text field ``name``, and is bound to the database.
    """
    rounds = -(-pairs // (2 * threads))

    def work(thread: int) -> Pairs:
        done = Pairs()
        with database.connection_context():
            for number in range(rounds):
                written = model.create(name=f"thread {thread}", number=number)
                done += _read(model, written.id, number)
                model.update(number=-number - 1).where(model.id == written.id).execute()
                done += _read(model, written.id, -number - 1)
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)), Pairs())


def _read(model: Any, key: int, number: int) -> Pairs:
    found = model.select(model.number).where(model.id == key).scalar()
    served = fly_orm.why()
    return Pairs(pairs=1, local=int(served.route is fly_orm.Route.LOCAL), missed=int(found != number))
