"""A model of peewee's, and a look whether a database with it is routed."""

from __future__ import annotations

import threading
from typing import Any

from peewee import CharField, IntegerField, Model

import fly_orm


class Item(Model):  # type: ignore[misc]
    name = CharField(unique=True)
    n = IntegerField(default=0)


def where() -> Any:
    served = fly_orm.why()
    return served and served.route.value


def works(database: Any) -> None:
    """A write goes to the primary, and a read finds it locally."""
    with Item.bind_ctx(database):
        database.create_tables([Item])
        name = f"item {threading.get_ident()} {Item.select().count()}"
        Item.create(name=name)
        assert where() == "primary"
        assert Item.get(Item.name == name).n == 0
        assert where() == "local"
