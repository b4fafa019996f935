"""How many round trips to the node the things that an application does take, counted by the network between them.

Each is repeated; what is shown is the mean, so that a request more in one of the repetitions would be seen. The rows on
the primary are counted as well: each repetition has to change as many as it says. Channels are opened beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep
from typing import Any

from pony import orm

import fly_orm
from tests.support.pony_regions import close as close_pony
from tests.support.tables import Table
from tests.support.two_regions import close

from ..duration import times
from ..world import World, lax_settings

REPEATED = times(10, 3)
MANY, BATCH = 100, 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that an application does."""

    name: str
    work: Callable[[], object]
    rows: int
    """How many rows it inserts, updates or deletes on the primary."""


def run(world: World) -> Table:
    """All of them, one after the other."""
    with _bound(world) as composed, world.counted() as statements:
        rows = [(case.name, *_counted(world, statements, case)) for case in _cases(composed)]
    return Table(
        title=f"round trips of what an application does, mean of {REPEATED}",
        headings=("", "round trips", "rows changed"),
        rows=rows,
        result="aim: 1 for a function and for a db_session that only writes",
    )


@contextmanager
def _bound(world: World) -> Iterator[Any]:
    fly_orm.configure(lax_settings(world.reach["rpc"]))
    from . import composed  # its databases take the settings that are configured when they are wrapped

    composed.bind(world.reach["replica"])
    for number in range(MANY):
        composed.Entry.create(name="there", number=number)
    sleep(1)  # channels are opened ahead of need
    try:
        yield composed
    finally:
        close_pony(composed.entities)
        close(composed.database)


def _counted(world: World, statements: Callable[[], Any], case: Case) -> tuple[str, str]:
    case.work()
    trips, changed = 0, statements()[0].rows
    for _ in range(REPEATED):
        before = world.backstage.round_trips()[0]
        case.work()
        trips += world.backstage.round_trips()[0] - before
    more = statements()[0].rows - changed
    if more != case.rows * REPEATED:
        raise AssertionError(f"{case.name}: {more} rows were changed, not {case.rows * REPEATED}")
    return f"{trips / REPEATED:g}", str(case.rows)


def _cases(composed: Any) -> list[Case]:
    return [
        *_of_peewee(composed),
        *_in_transactions(composed),
        *_of_pony(composed),
        *(
            Case(name=f"peewee, a function with {rows} inserts: {name}", work=work, rows=rows)
            for rows, name, work in (
                (composed.ROWS, "@on_primary", composed.plain),
                (composed.ROWS, "@on_primary, with db.atomic() inside", composed.atomic_inside),
                (composed.ROWS, "@on_primary above @db.atomic()", composed.atomic_below),
                (composed.ROWS, "@db.atomic() above @on_primary", composed.atomic_above),
            )
        ),
        *(
            Case(name=f"Pony, a function that makes {composed.ROWS} objects: {name}", work=work, rows=composed.ROWS)
            for name, work in (
                ("@on_primary above @db_session", composed.session_below),
                ("@db_session above @on_primary", composed.session_above),
            )
        ),
    ]


def _of_peewee(composed: Any) -> Iterator[Case]:
    row = composed.Entry
    first = row.select().order_by(row.id).get()

    def some() -> list[Any]:
        return list(row.select().order_by(row.id).limit(MANY))

    def made() -> list[Any]:
        return [row(name="bulk", number=number) for number in range(MANY)]

    def bulk_update() -> None:
        found = some()
        for each in found:
            each.number += 1
        row.bulk_update(found, fields=[row.number], batch_size=BATCH)

    def in_batches() -> None:
        for start in range(0, MANY, BATCH):
            row.insert_many([{"name": "many", "number": start + one} for one in range(BATCH)]).execute()

    def lazily() -> None:
        with fly_orm.wait_for("read"):
            for number in range(BATCH):
                row.create(name="lazy", number=number)
        row.select().count()

    numbers = iter(range(10**9))
    yield Case(name="peewee: select", work=some, rows=0)
    yield Case(name="peewee: create() or save() of a new row", work=lambda: row.create(name="a", number=1), rows=1)
    yield Case(name="peewee: save() of a row that exists", work=first.save, rows=1)
    yield Case(
        name="peewee: update().execute()",
        work=lambda: row.update(number=7).where(row.id == first.id).execute(),
        rows=1,
    )
    yield Case(
        name="peewee: delete_instance()",
        work=lambda: row.select().order_by(row.id.desc()).get().delete_instance(),
        rows=1,
    )
    yield Case(name="peewee: get_or_create(), there", work=lambda: row.get_or_create(id=first.id, defaults={}), rows=0)
    yield Case(
        name="peewee: get_or_create(), new",
        work=lambda: row.get_or_create(name=f"new {next(numbers)}", defaults={"number": 1}),
        rows=1,
    )
    yield Case(name=f"peewee: bulk_create() of {MANY}", work=lambda: row.bulk_create(made()), rows=MANY)
    yield Case(
        name=f"peewee: bulk_create() of {MANY}, batch_size={BATCH}",
        work=lambda: row.bulk_create(made(), batch_size=BATCH),
        rows=MANY,
    )
    yield Case(name=f"peewee: bulk_update() of {MANY}, batch_size={BATCH}", work=bulk_update, rows=MANY)
    yield Case(name=f"peewee: insert_many() of {MANY}, {BATCH} at a time", work=in_batches, rows=MANY)
    yield Case(name=f'peewee: {BATCH} × create(), wait="read", then a select', work=lazily, rows=BATCH)


def _in_transactions(composed: Any) -> Iterator[Case]:
    row, database = composed.Entry, composed.database

    def atomic(writes: int) -> None:
        with database.atomic():
            for number in range(writes):
                row.create(name="atomic", number=number)

    def nested() -> None:
        with database.atomic(), database.atomic():
            row.create(name="nested", number=1)

    def many() -> None:
        with database.atomic():
            row.insert_many([{"name": "many", "number": number} for number in range(MANY)]).execute()

    for writes in (0, 1, 5):
        yield Case(name=f"peewee: atomic() with {writes} × create()", work=lambda n=writes: atomic(n), rows=writes)
    yield Case(name="peewee: atomic() in atomic(), with create()", work=nested, rows=1)
    yield Case(name=f"peewee: atomic() with insert_many() of {MANY}", work=many, rows=MANY)


def _of_pony(composed: Any) -> Iterator[Case]:
    thing = composed.Thing

    @orm.db_session
    def read() -> None:
        thing.select().order_by(thing.id)[:MANY]

    @orm.db_session
    def make(number: int) -> None:
        for each in range(number):
            thing(name="made", number=each)

    @orm.db_session
    def change() -> None:
        for each in thing.select().order_by(thing.id)[:BATCH]:
            each.number += 1

    @orm.db_session
    def make_and_flush() -> None:
        thing(name="made", number=1)
        orm.flush()
        thing(name="made", number=2)

    @orm.db_session
    def locked() -> None:
        thing.select().order_by(thing.id).for_update().first().number += 1

    yield Case(name="Pony: a db_session that reads", work=read, rows=0)
    yield Case(name="Pony: one new object", work=lambda: make(1), rows=1)
    yield Case(name=f"Pony: {BATCH} new objects", work=lambda: make(BATCH), rows=BATCH)
    yield Case(name=f"Pony: {BATCH} objects read and changed", work=change, rows=BATCH)
    yield Case(name="Pony: a new object, flush(), another one", work=make_and_flush, rows=2)
    yield Case(name="Pony: for_update() and a change", work=locked, rows=1)
