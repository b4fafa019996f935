"""What a write costs over the floor: an insert on the primary, and waiting until the replica shows it."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import psycopg2

import fly_orm
from tests.support.tables import Table

from ..report import median_ms, ms, percentile
from ..world import World, model

RTT = 0.08
PAIRS = 200
_INSERT = "INSERT INTO row (name, number) VALUES (%s, %s) RETURNING id"


def run(world: World) -> Table:
    """One write at a time, at 80 ms."""
    wrapped, floor, served = [], [], []
    with world.apart(RTT), world.lax() as lax, _Floor(world) as direct:
        row = model(lax)
        for number in range(-5, PAIRS):
            started = perf_counter()
            row.create(name="wrapped", number=number)
            middle = perf_counter()
            direct.insert(number)
            if number >= 0:  # before that, channels are opened
                wrapped.append(middle - started)
                floor.append(perf_counter() - middle)
                served.append(fly_orm.why())
    more = median(wrapped) - median(floor)
    waits = [each.wait for each in served]
    return Table(
        title=f"autocommit insert, visible on the replica, {RTT * 1000:.0f} ms round trip on both links ({PAIRS} each)",
        headings=("", "median ms", "p99 ms"),
        rows=[
            ("fly_orm: peewee insert that waits", median_ms(wrapped), ms(percentile(wrapped, 99))),
            ("floor: psycopg2 insert, then polling the replica", median_ms(floor), ms(percentile(floor, 99))),
            (
                "fly_orm's rpc",
                median_ms([each.rpc for each in served]),
                ms(percentile([each.rpc for each in served], 99)),
            ),
            ("fly_orm's wait", median_ms(waits), ms(percentile(waits, 99))),
        ],
        result=f"fly_orm takes {ms(more)} ms more than the floor (aim: at most 5)",
    )


class _Floor:
    """Inserts straight into the primary, and polls the replica until it shows the row."""

    def __init__(self, world: World) -> None:
        self._primary = psycopg2.connect(**world.reach["direct"])
        self._replica = psycopg2.connect(**world.reach["replica"])
        self._primary.autocommit = self._replica.autocommit = True

    def insert(self, number: int) -> None:
        """Return when the replica shows the row."""
        with self._primary.cursor() as there, self._replica.cursor() as here:
            there.execute(_INSERT, ("floor", number))
            inserted = there.fetchone()
            while True:
                here.execute("SELECT 1 FROM row WHERE id = %s", inserted)
                if here.fetchone():
                    return

    def __enter__(self) -> _Floor:
        return self

    def __exit__(self, *_: object) -> None:
        self._primary.close()
        self._replica.close()
