"""Databases of peewee's on the replica."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

import fly_orm
from tests.support.two_regions import TwoRegions, close


@pytest.fixture
def on_replica(regions: TwoRegions) -> dict[str, Any]:
    """The connect parameters of the replica, without the database's name."""
    return {key: value for key, value in regions.cluster.replica.params(regions.name).items() if key != "dbname"}


@pytest.fixture
def wrap(regions: TwoRegions) -> Iterator[Any]:
    """Wraps a database for lax."""
    made = []

    def wrap(database: Any) -> Any:
        made.append(database)
        return fly_orm.wrap(database, settings=regions.lax_settings())

    yield wrap
    for database in made:
        close(database.obj if isinstance(database, peewee.Proxy) else database)
