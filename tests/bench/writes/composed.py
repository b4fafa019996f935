"""Functions that run in the primary region, with decorators of both ORMs in either order.

The serving process and the measuring one import this, after they have their settings.
"""

from __future__ import annotations

import peewee
from pony import orm

import fly_orm

database = fly_orm.wrap(peewee.PostgresqlDatabase(None))
entities = fly_orm.wrap(orm.Database())
ROWS = 20


class Entry(peewee.Model):
    name = peewee.TextField()
    number = peewee.IntegerField()

    class Meta:
        database = database
        table_name = "row"


class Thing(entities.Entity):  # type: ignore[misc, name-defined]  # made at run time
    _table_ = "row"
    name = orm.Required(str)
    number = orm.Required(int)


def bind(parameters: dict[str, object]) -> None:
    """Connect both to a server, given psycopg2's parameters."""
    given = dict(parameters)
    name = given.pop("dbname")
    database.init(name, **given)
    entities.bind("postgres", database=name, **given)
    entities.generate_mapping(check_tables=False)
    entities.disconnect()  # bind() has connected


def _insert() -> None:
    for number in range(ROWS):
        Entry.create(name="composed", number=number)


def _make() -> None:
    for number in range(ROWS):
        Thing(name="composed", number=number)


@fly_orm.on_primary
def plain() -> None:
    _insert()


@fly_orm.on_primary
def atomic_inside() -> None:
    with database.atomic():
        _insert()


@fly_orm.on_primary
@database.atomic()
def atomic_below() -> None:
    _insert()


@database.atomic()
@fly_orm.on_primary
def atomic_above() -> None:
    _insert()


@fly_orm.on_primary
@orm.db_session
def session_below() -> None:
    _make()


@orm.db_session
@fly_orm.on_primary
def session_above() -> None:
    _make()
