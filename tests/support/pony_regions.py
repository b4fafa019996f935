"""Pony databases in two regions."""

from __future__ import annotations

import datetime
import decimal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from pony import orm
from psycopg2 import extensions as ext

import fly_orm
from tests.support.two_regions import TwoRegions, named

LOCAL, PRIMARY = fly_orm.Route.LOCAL, fly_orm.Route.PRIMARY


@contextmanager
def pony_in_lax(regions: TwoRegions, *, bound_first: bool = False, server: Any = None, **options: Any) -> Iterator[Any]:
    """A wrapped database on the replica, with nothing mapped yet."""
    database = orm.Database()
    given = named(server or regions.cluster.replica, regions.name)
    options = {"settings": regions.lax_settings(), **options}
    if bound_first:
        database.bind("postgres", **given)
    fly_orm.wrap(database, **options)
    if not bound_first:
        database.bind("postgres", **given)
    try:
        yield database
    finally:
        close(database)


def close(database: Any) -> None:
    """End what this thread does with a database, and close all that it has open here."""
    orm.rollback()
    database.disconnect()
    for thread in threading.enumerate():
        if thread.name == "fly_orm channel opener":
            thread.join()  # or it would connect to a network that is being closed
    router = getattr(database, "_fly_orm", None)
    if router is not None:
        router.close()


def shop(database: Any) -> SimpleNamespace:
    """The entities of a shop, mapped to this database, whose tables exist from now on."""

    class Owner(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str)
        things = orm.Set("Thing")

    class Thing(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str, unique=True)
        n = orm.Required(int, default=0)
        price = orm.Optional(decimal.Decimal)
        day = orm.Optional(datetime.date)
        at = orm.Optional(datetime.datetime)
        uid = orm.Optional(uuid.UUID)
        raw = orm.Optional(bytes)
        long = orm.Optional(orm.LongStr)
        slow = orm.Optional(str, lazy=True)
        data = orm.Optional(orm.Json)
        ints = orm.Optional(orm.IntArray)
        words = orm.Optional(orm.StrArray)
        weight = orm.Optional(float)
        seen = orm.Optional(int, volatile=True)
        free = orm.Optional(int, optimistic=False)
        owner = orm.Optional(Owner)
        parts = orm.Set("Part")
        notes = orm.Set("Note", cascade_delete=False)
        tags = orm.Set("Tag")

    class Part(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str)
        thing = orm.Required(Thing)

    class Note(database.Entity):  # type: ignore[misc, name-defined]
        text = orm.Required(str)
        thing = orm.Required(Thing)

    class Tag(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str)
        things = orm.Set(Thing)

    class Place(database.Entity):  # type: ignore[misc, name-defined]
        x = orm.Required(int)
        y = orm.Required(int)
        orm.composite_key(x, y)

    database.generate_mapping(create_tables=True)
    return SimpleNamespace(db=database, **database.entities)


def route() -> fly_orm.Route | None:
    """Where the last statement was served."""
    served = fly_orm.why()
    return served and served.route


@contextmanager
def stale(regions: TwoRegions, *sqls: str) -> Iterator[None]:
    """A block in which the replica has not heard of what these statements do on the primary."""
    with regions.cluster.replay_paused():
        for sql in sqls:
            regions.query(sql)
        yield


def row(name: str, n: int = 1) -> str:
    """The statement that adds a thing."""
    columns = "name, n, long, slow, data, ints, words"
    return f"INSERT INTO thing ({columns}) VALUES ('{name}', {n}, '', '', '{{}}', '{{}}', '{{}}') RETURNING id"


def names(regions: TwoRegions, table: str = "thing") -> list[str]:
    """Those that are stored on the primary."""
    return list(regions.query(f"SELECT coalesce(array_agg(name ORDER BY id), '{{}}') FROM {table}"))


def works(database: Any) -> None:
    """A write goes to the primary, and a read finds it locally."""
    if not database.entities:
        database.Entity.__class__("Item", (database.Entity,), {"name": orm.Required(str, unique=True)})
        database.generate_mapping(create_tables=True)
    item = database.entities["Item"]
    name = f"item of {threading.get_ident()}"
    with orm.db_session:
        before = orm.count(i for i in item)
        assert route() is LOCAL
        item(name=f"{name} {before}")
        orm.flush()
        assert route() is PRIMARY
    with orm.db_session:
        assert item.get(name=f"{name} {before}") is not None
        assert route() is LOCAL


def dsn(given: dict[str, Any]) -> str:
    return str(ext.make_dsn(**given))


def owners(regions: TwoRegions) -> list[str]:
    """The names of those that are stored."""
    return list(regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM owner"))


def next_works(regions: TwoRegions, lax: SimpleNamespace, *before: str) -> None:
    """The next db_session is as if nothing had happened."""
    with orm.db_session:
        lax.Owner(name="next")
    assert owners(regions) == [*before, "next"]
    with orm.db_session:
        assert orm.count(o for o in lax.Owner) == len(before) + 1
