"""Pony has the driver return JSON as text, and parses it itself."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pony import orm

import fly_orm
from tests.support.pony_regions import close, pony_in_lax, shop
from tests.support.two_regions import TwoRegions, named


@pytest.fixture(scope="session")
def json_loads() -> Callable[[str], Any]:
    """What the driver makes of JSON."""
    return str


@pytest.fixture
def here(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop in lax with one thing in it, which both regions have."""
    with pony_in_lax(regions) as database:
        made = shop(database)
        with orm.db_session:
            made.Thing(name="first", n=1)
        yield made


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """Databases to close after the test."""
    databases: list[Any] = []
    yield databases
    for database in databases:
        close(database)


@pytest.fixture
def wrap(regions: TwoRegions, made: list[Any]) -> Callable[..., Any]:
    """Wraps a database for lax."""

    def wrap(database: Any, **options: Any) -> Any:
        made.append(database)
        return fly_orm.wrap(database, **{"settings": regions.lax_settings(), **options})

    return wrap


@pytest.fixture
def replica(regions: TwoRegions) -> dict[str, Any]:
    """The keywords that bind to the replica."""
    return named(regions.cluster.replica, regions.name)


@pytest.fixture
def lax(regions: TwoRegions) -> Iterator[SimpleNamespace]:
    """A shop in lax that does not wait long for its replica."""
    with pony_in_lax(regions, replication_timeout=0.05) as database:
        yield shop(database)
