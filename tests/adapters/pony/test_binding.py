"""Every way to bind a Pony database can be wrapped, before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pony import orm
from pony.orm.dbproviders.postgres import PGPool, PGProvider

import fly_orm
from fly_orm.testing.contract.tools import within
from tests.support.pony_regions import LOCAL, dsn, route, works
from tests.support.two_regions import TwoRegions
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport


FORMS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "positional": lambda bind, given: bind("postgres", **given),
    "keyword": lambda bind, given: bind(provider="postgres", **given),
    "dict": lambda bind, given: bind({"provider": "postgres", **given}),
    "dsn": lambda bind, given: bind("postgres", dsn(given)),
    "dsn by keyword": lambda bind, given: bind(provider="postgres", dsn=dsn(given)),
    "class": lambda bind, given: bind(PGProvider, **given),
    "class by keyword": lambda bind, given: bind(provider=PGProvider, **given),
    "class in a dict": lambda bind, given: bind({"provider": PGProvider, **given}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_bound_before_it_is_wrapped(wrap: Any, replica: dict[str, Any], form: str) -> None:
    database = orm.Database()
    FORMS[form](database.bind, replica)
    assert wrap(database) is database
    works(database)


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_wrapped_before_it_is_bound(wrap: Any, replica: dict[str, Any], form: str) -> None:
    database = orm.Database()
    assert wrap(database) is database
    assert database.provider is None
    FORMS[form](database.bind, replica)
    works(database)


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_bound_where_it_is_made(wrap: Any, replica: dict[str, Any], form: str) -> None:
    works(wrap(FORMS[form](orm.Database, replica)))


def test_a_database_class_of_the_users_own_can_be_wrapped(wrap: Any, replica: dict[str, Any]) -> None:
    class Own(orm.Database):  # type: ignore[misc]
        def bind(self, *args: Any, **kwargs: Any) -> None:
            super().bind("postgres", **replica)

    database = wrap(Own())
    database.bind()
    assert type(database) is Own
    works(database)


def test_what_a_dict_of_parameters_holds_is_left_in_it(wrap: Any, replica: dict[str, Any]) -> None:
    given = {"provider": "postgres", **replica}
    database = wrap(orm.Database())
    database.bind(given)
    assert given == {"provider": "postgres", **replica}


def test_entities_can_be_mapped_before_the_database_is_wrapped(wrap: Any, replica: dict[str, Any]) -> None:
    database = orm.Database()

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str, unique=True)

    wrap(database)
    database.bind("postgres", **replica)
    database.generate_mapping(create_tables=True)
    works(database)


def test_entities_that_are_mapped_already_stay_mapped(regions: TwoRegions, wrap: Any, replica: dict[str, Any]) -> None:
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE NOT NULL)")
    regions.cluster.wait_for_replica()
    database = orm.Database("postgres", **replica)

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str, unique=True)

    database.generate_mapping()
    with orm.db_session:
        assert orm.count(i for i in Item) == 0
    with pytest.raises(orm.core.OrmError, match="read-only transaction"), orm.db_session:
        Item(name="never")
    works(wrap(database))


def test_wrapping_twice_is_wrapping_once(wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    router = database._fly_orm
    assert wrap(database) is database
    database.bind("postgres", **replica)
    kind = type(database.provider)
    assert wrap(database) is database
    assert (type(database.provider), database._fly_orm) == (kind, router)
    works(database)


def test_a_database_that_was_used_before_is_routed_in_every_thread(
    regions: TwoRegions, wrap: Any, replica: dict[str, Any], made: list[Any]
) -> None:
    database = orm.Database("postgres", **replica)
    opened, wrapped = threading.Event(), threading.Event()

    def early() -> None:
        with orm.db_session:
            database.select("1")
            opened.set()
            assert wrapped.wait(10)
            assert database.select("2") == [2]  # what is under way goes on as it was
        works(database)
        database.disconnect()

    thread = threading.Thread(target=lambda: outcome.append(within(PATIENCE, early)))
    outcome: list[None] = []
    thread.start()
    assert opened.wait(10)
    wrap(database)
    works(database)
    wrapped.set()
    thread.join()
    assert outcome == [None]
    within(PATIENCE, lambda: (works(database), database.disconnect()))


def test_inside_a_db_session_that_uses_the_database_wrapping_is_refused(replica: dict[str, Any], wrap: Any) -> None:
    database = orm.Database("postgres", **replica)
    with orm.db_session:
        assert database.select("1") == [1]
        with pytest.raises(fly_orm.ConfigurationError, match="wrap\\(\\) was called inside a db_session"):
            wrap(database)
    works(wrap(database))


@pytest.mark.parametrize("form", FORMS)
def test_a_database_goes_by_the_names_that_pony_gives_it(
    wrap: Any, replica: dict[str, Any], form: str, made: list[Any]
) -> None:
    plain, before, after = orm.Database(), orm.Database(), wrap(orm.Database())
    made.append(plain)
    FORMS[form](before.bind, replica)
    wrap(before)
    for database in (plain, after):
        FORMS[form](database.bind, replica)
    for database in (before, after):
        assert type(database.provider).__qualname__ == "PGProvider"
        assert type(database.provider).__module__ == PGProvider.__module__
        assert type(database.provider.pool).__qualname__ == "PGPool"
        assert isinstance(database.provider, PGProvider)
        assert isinstance(database.provider.pool, PGPool)
    assert before.provider_name == after.provider_name == plain.provider_name


@pytest.mark.parametrize("form", ["positional", "keyword", "dict", "dsn"])
@pytest.mark.parametrize("bound_first", [True, False])
def test_what_is_to_be_done_on_connect_is_done(
    wrap: Any, replica: dict[str, Any], form: str, bound_first: bool
) -> None:
    database, seen = orm.Database(), []

    @database.on_connect(provider="postgres")  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        seen.append((db is database, connection.dsn))

    @database.on_connect(provider="sqlite")  # type: ignore[untyped-decorator]
    def never(db: Any, connection: Any) -> None:
        seen.append(None)

    if bound_first:
        FORMS[form](database.bind, replica)
        wrap(database)
    else:
        wrap(database)
        FORMS[form](database.bind, replica)
    assert len(seen) == 1
    works(database)
    within(PATIENCE, lambda: (works(database), database.disconnect()))
    assert all(one == (True, seen[0][1]) for one in seen)
    assert len(seen) > 1


def test_on_connect_may_write(regions: TwoRegions, wrap: Any, replica: dict[str, Any]) -> None:
    regions.query("CREATE TABLE seen (pid int)")
    regions.cluster.wait_for_replica()
    database = orm.Database()

    @database.on_connect  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        connection.cursor().execute("INSERT INTO seen VALUES (pg_backend_pid())")

    wrap(database)
    database.bind("postgres", **replica)
    assert regions.query("SELECT count(*) FROM seen") == 1


def test_on_connect_reads_the_replica(wrap: Any, replica: dict[str, Any]) -> None:
    database, seen = orm.Database(), []

    @database.on_connect  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        connection.cursor().execute("SELECT 1")
        seen.append(route())

    wrap(database)
    database.bind("postgres", **replica)
    assert seen == [LOCAL]


def test_a_bind_that_fails_can_be_repeated(wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    with pytest.raises(orm.dbapiprovider.OperationalError, match="In region 'lax' the database's address must be"):
        database.bind("postgres", **{**replica, "port": 1})
    assert (database.provider, database.provider_name) == (None, None)
    with pytest.raises(TypeError, match="Database provider is not specified"):
        database.bind()
    database.bind("postgres", **replica)
    with pytest.raises(orm.core.BindingError, match="already bound to PostgreSQL"):
        database.bind("postgres", **replica)
    works(database)


@pytest.mark.usefixtures("no_spare_channels")
def test_tables_can_be_checked_and_dropped(regions: TwoRegions, wrap: Any, replica: dict[str, Any]) -> None:
    database = wrap(orm.Database("postgres", **replica))
    works(database)
    again = wrap(orm.Database("postgres", **replica))
    again.Entity.__class__("Item", (again.Entity,), {"name": orm.Required(str, unique=True)})
    before = regions.wan.round_trips
    again.generate_mapping(check_tables=False)
    assert regions.wan.round_trips == before
    again.check_tables()
    with pytest.raises(orm.core.TableIsNotEmpty):
        again.drop_table("item")
    again.drop_all_tables(with_all_data=True)
    assert regions.query("SELECT to_regclass('item')") is None
