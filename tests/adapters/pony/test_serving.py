"""A node serves a database of Pony's, which may be bound later."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pony import orm

import fly_orm
from tests.support import two_regions
from tests.support.pony_regions import dsn, works
from tests.support.two_regions import TwoRegions, named, settings

pytestmark = pytest.mark.over_every_transport


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_database_can_be_served(regions: TwoRegions, wrap: Any, made: list[Any], bound_first: bool) -> None:
    there = orm.Database()
    made.append(there)
    if bound_first:
        there.bind("postgres", dsn(named(regions.cluster.primary, regions.name)))
    fly_orm.wrap(there, settings=settings("syd"))
    if not bound_first:
        there.bind("postgres", dsn(named(regions.cluster.primary, regions.name)))
    with fly_orm.serve(there, listen=two_regions.way.listen(), settings=settings("syd")) as serving:
        assert serving.databases == [regions.name]
        database = wrap(orm.Database(), settings=settings("lax", serving.address))
        database.bind("postgres", **named(regions.cluster.replica, regions.name))
        works(database)


def test_a_database_that_is_not_bound_cannot_be_served_without_a_name() -> None:
    database = fly_orm.wrap(orm.Database(), settings=settings("syd"))
    with pytest.raises(fly_orm.ConfigurationError, match=r"not bound yet; call its bind\(\) first"):
        fly_orm.serve(database, listen="127.0.0.1:0", settings=settings("syd"))


def test_a_database_that_has_a_name_can_be_served_before_it_is_bound(
    regions: TwoRegions, wrap: Any, made: list[Any]
) -> None:
    there = fly_orm.wrap(orm.Database(), name="shop", settings=settings("syd"))
    made.append(there)
    with fly_orm.serve(there, listen=two_regions.way.listen(), settings=settings("syd")) as serving:
        assert serving.databases == ["shop"]
        database = wrap(orm.Database(), name="shop", settings=settings("lax", serving.address))
        database.bind("postgres", **named(regions.cluster.replica, regions.name))
        with pytest.raises(fly_orm.FlyOrmError, match="not bound yet"), orm.db_session:
            database.execute("CREATE TABLE never ()")
        there.bind("postgres", **named(regions.cluster.primary, regions.name))
        works(database)


def test_a_database_without_a_name_is_called_by_none_before_it_is_bound(regions: TwoRegions, wrap: Any) -> None:
    database = wrap(orm.Database())
    assert not database._fly_orm.is_named(regions.name)
    database.bind("postgres", **named(regions.cluster.replica, regions.name))
    assert database._fly_orm.is_named(regions.name)


def test_what_is_no_postgres_cannot_be_served(tmp_path: Path) -> None:
    bound = orm.Database("sqlite", str(tmp_path / "x.db"), create_db=True)
    fly_orm.wrap(bound, settings=settings("syd"))
    fly_orm.configure(settings("syd"))
    with pytest.raises(fly_orm.FlyOrmError, match="this Pony database is bound to SQLite"):
        fly_orm.serve(bound, listen="127.0.0.1:0", settings=settings("syd"))
    bound.disconnect()


def test_what_was_bound_to_no_postgres_after_it_was_wrapped_cannot_be_served(tmp_path: Path) -> None:
    database = fly_orm.wrap(orm.Database(), settings=settings("syd"))
    database.bind("sqlite", str(tmp_path / "x.db"), create_db=True)
    with pytest.raises(fly_orm.FlyOrmError, match="this Pony database is bound to SQLite"):
        fly_orm.serve(database, listen="127.0.0.1:0", settings=settings("syd"))
    database.disconnect()


def test_wrapping_says_nothing(regions: TwoRegions, wrap: Any, replica: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        works(wrap(orm.Database("postgres", **replica)))
    assert caplog.records == []
