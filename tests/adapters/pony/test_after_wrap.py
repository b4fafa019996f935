"""What an application does to its Pony database after wrap() leaves it wrapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pony import orm
from pony.orm.dbproviders.postgres import PGPool

import fly_orm
from tests.support.pony_regions import works
from tests.support.two_regions import TwoRegions, named, settings


def bound(wrap: Any, replica: dict[str, Any], *, first: bool) -> Any:
    """A database that is bound before it is wrapped, or after that."""
    database = orm.Database()
    if first:
        database.bind("postgres", **replica)
    wrap(database)
    if not first:
        database.bind("postgres", **replica)
    return database


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_database_that_is_bound_anew(
    regions: TwoRegions, wrap: Any, replica: dict[str, Any], bound_first: bool
) -> None:
    database = bound(wrap, replica, first=bound_first)
    works(database)
    for _ in range(2):
        database.disconnect()
        database.provider = None  # as test suites do, since Pony has no method for it
        with pytest.raises(fly_orm.ConfigurationError, match="not bound yet"):
            database._fly_orm.wrapped.name()
        database.bind("postgres", **replica)
        assert database._fly_orm.name == regions.name
        works(database)


def test_its_name_is_that_of_the_database_that_it_is_bound_to_now(regions: TwoRegions, wrap: Any, made: Any) -> None:
    replica = named(regions.cluster.replica, regions.name)
    database = wrap(orm.Database("postgres", **replica))
    assert database._fly_orm.name == regions.name
    database.disconnect()
    database.provider = database.schema = None
    database.bind("postgres", **{**replica, "database": "postgres"})
    assert database._fly_orm.name == "postgres"


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_pool_that_takes_the_place_of_another(wrap: Any, replica: dict[str, Any], bound_first: bool) -> None:
    class Own(PGPool):  # type: ignore[misc]
        pass

    database = bound(wrap, replica, first=bound_first)
    for kind in (PGPool, Own):
        database.disconnect()
        database.provider.pool = kind(psycopg2, **replica)
        assert isinstance(database.provider.pool, kind)
        works(database)


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_pool_that_connects_in_its_own_way(wrap: Any, replica: dict[str, Any], bound_first: bool) -> None:
    class Named(PGPool):  # type: ignore[misc]
        def _connect(self) -> None:
            self.kwargs["application_name"] = "own"
            super()._connect()

    class ByItself(PGPool):  # type: ignore[misc]
        def _connect(self) -> None:
            self.con = psycopg2.connect(*self.args, **replica)

    database = bound(wrap, replica, first=bound_first)
    database.disconnect()
    database.provider.pool = Named(psycopg2, **replica)
    works(database)
    with orm.db_session:
        assert database.select("current_setting('application_name')") == ["own"]
    database.disconnect()
    database.provider.pool = ByItself(psycopg2, **replica)
    for _ in range(2):
        with pytest.raises(fly_orm.NotSupported, match="opens connections by itself"), orm.db_session:
            database.select("1")
        assert database.provider.pool.con is None


def test_a_database_that_is_disconnected(wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database("postgres", **replica))
    works(database)
    for _ in range(2):
        database.disconnect()
        with orm.db_session:
            assert database.select("count(*) FROM item") == [1]


def test_one_in_the_primary_region_may_be_bound_to_something_else(
    made: Any, replica: dict[str, Any], tmp_path: Path
) -> None:
    database = fly_orm.wrap(orm.Database("postgres", **replica), settings=settings("syd"))
    made.append(database)
    database.disconnect()
    database.provider = database.schema = None
    database.bind("sqlite", str(tmp_path / "x.db"), create_db=True)
    with orm.db_session:
        assert database.select("1") == [1]
    with pytest.raises(fly_orm.NotSupported, match="SQLite"):
        database._fly_orm.connect()
