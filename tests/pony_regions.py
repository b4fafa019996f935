"""Pony databases in two regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pony import orm
from two_regions import TwoRegions

import fly_orm


def parameters(server: Any, name: str) -> dict[str, Any]:
    """The keywords by which Pony binds to a database of a server."""
    given = dict(server.params(name))
    given["database"] = given.pop("dbname")
    return given


@contextmanager
def pony_in_lax(regions: TwoRegions, *, bound_first: bool = False, server: Any = None, **options: Any) -> Iterator[Any]:
    """A wrapped database on the replica, with nothing mapped yet."""
    database = orm.Database()
    given = parameters(server or regions.cluster.replica, regions.name)
    options = {"settings": regions.lax_settings(), **options}
    if bound_first:
        database.bind("postgres", **given)
    fly_orm.wrap(database, **options)
    if not bound_first:
        database.bind("postgres", **given)
    try:
        yield database
    finally:
        orm.rollback()
        database.disconnect()
        database._fly_orm.close()
