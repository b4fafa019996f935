"""The work of the benchmark of functions: the serving process and the measuring one import it."""

from __future__ import annotations

import peewee

import fly_orm


class Row(peewee.Model):
    name = peewee.TextField()
    number = peewee.IntegerField()


@fly_orm.on_primary(timeout=60)
def insert(rows: int) -> None:
    """One autocommit insert after the other."""
    for number in range(rows):
        Row.create(name="by a function", number=number)


@fly_orm.on_primary(timeout=60)
def compute() -> int:
    """Some 15 milliseconds of Python, and no statement."""
    return sum(number * number for number in range(300_000))
