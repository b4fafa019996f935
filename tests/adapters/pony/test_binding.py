"""Every way to bind a Pony database can be wrapped, before and after, or says why not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pony import orm
from pony.orm.dbproviders.cockroach import CRProvider
from pony.orm.dbproviders.postgres import PGPool, PGProvider
from psycopg2 import extensions as ext
from psycopg2 import extras

import fly_orm
from fly_orm.settings import Settings
from fly_orm.testing.contract.tools import within
from fly_orm.topology import Topology
from tests.support import two_regions
from tests.support.pony_regions import LOCAL, PRIMARY, close, route
from tests.support.two_regions import SECRET, TwoRegions, named, settings
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport

NO_REGIONS = Settings(topology=Topology(region="local", primary_region=None), secret=SECRET)


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
def here(regions: TwoRegions) -> dict[str, Any]:
    """The keywords that bind to the replica."""
    return named(regions.cluster.replica, regions.name)


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


# Binding


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_bound_before_it_is_wrapped(wrap: Any, here: dict[str, Any], form: str) -> None:
    database = orm.Database()
    FORMS[form](database.bind, here)
    assert wrap(database) is database
    works(database)


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_wrapped_before_it_is_bound(wrap: Any, here: dict[str, Any], form: str) -> None:
    database = orm.Database()
    assert wrap(database) is database
    assert database.provider is None
    FORMS[form](database.bind, here)
    works(database)


@pytest.mark.parametrize("form", FORMS)
def test_a_database_can_be_bound_where_it_is_made(wrap: Any, here: dict[str, Any], form: str) -> None:
    works(wrap(FORMS[form](orm.Database, here)))


def test_a_database_class_of_the_users_own_can_be_wrapped(wrap: Any, here: dict[str, Any]) -> None:
    class Own(orm.Database):  # type: ignore[misc]
        def bind(self, *args: Any, **kwargs: Any) -> None:
            super().bind("postgres", **here)

    database = wrap(Own())
    database.bind()
    assert type(database) is Own
    works(database)


def test_what_a_dict_of_parameters_holds_is_left_in_it(wrap: Any, here: dict[str, Any]) -> None:
    given = {"provider": "postgres", **here}
    database = wrap(orm.Database())
    database.bind(given)
    assert given == {"provider": "postgres", **here}


def test_entities_can_be_mapped_before_the_database_is_wrapped(wrap: Any, here: dict[str, Any]) -> None:
    database = orm.Database()

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str, unique=True)

    wrap(database)
    database.bind("postgres", **here)
    database.generate_mapping(create_tables=True)
    works(database)


def test_entities_that_are_mapped_already_stay_mapped(regions: TwoRegions, wrap: Any, here: dict[str, Any]) -> None:
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE NOT NULL)")
    regions.cluster.wait_for_replica()
    database = orm.Database("postgres", **here)

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str, unique=True)

    database.generate_mapping()
    with orm.db_session:
        assert orm.count(i for i in Item) == 0
    with pytest.raises(orm.core.OrmError, match="read-only transaction"), orm.db_session:
        Item(name="never")
    works(wrap(database))


def test_wrapping_twice_is_wrapping_once(wrap: Any, here: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    router = database._fly_orm
    assert wrap(database) is database
    database.bind("postgres", **here)
    kind = type(database.provider)
    assert wrap(database) is database
    assert (type(database.provider), database._fly_orm) == (kind, router)
    works(database)


def test_a_database_that_was_used_before_is_routed_in_every_thread(
    regions: TwoRegions, wrap: Any, here: dict[str, Any], made: list[Any]
) -> None:
    database = orm.Database("postgres", **here)
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


def test_inside_a_db_session_that_uses_the_database_wrapping_is_refused(here: dict[str, Any], wrap: Any) -> None:
    database = orm.Database("postgres", **here)
    with orm.db_session:
        assert database.select("1") == [1]
        with pytest.raises(fly_orm.ConfigurationError, match="wrap\\(\\) was called inside a db_session"):
            wrap(database)
    works(wrap(database))


@pytest.mark.parametrize("form", FORMS)
def test_a_database_goes_by_the_names_that_pony_gives_it(
    wrap: Any, here: dict[str, Any], form: str, made: list[Any]
) -> None:
    plain, before, after = orm.Database(), orm.Database(), wrap(orm.Database())
    made.append(plain)
    FORMS[form](before.bind, here)
    wrap(before)
    for database in (plain, after):
        FORMS[form](database.bind, here)
    for database in (before, after):
        assert type(database.provider).__qualname__ == "PGProvider"
        assert type(database.provider).__module__ == PGProvider.__module__
        assert type(database.provider.pool).__qualname__ == "PGPool"
        assert isinstance(database.provider, PGProvider)
        assert isinstance(database.provider.pool, PGPool)
    assert before.provider_name == after.provider_name == plain.provider_name


@pytest.mark.parametrize("form", ["positional", "keyword", "dict", "dsn"])
@pytest.mark.parametrize("bound_first", [True, False])
def test_what_is_to_be_done_on_connect_is_done(wrap: Any, here: dict[str, Any], form: str, bound_first: bool) -> None:
    database, seen = orm.Database(), []

    @database.on_connect(provider="postgres")  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        seen.append((db is database, connection.dsn))

    @database.on_connect(provider="sqlite")  # type: ignore[untyped-decorator]
    def never(db: Any, connection: Any) -> None:
        seen.append(None)

    if bound_first:
        FORMS[form](database.bind, here)
        wrap(database)
    else:
        wrap(database)
        FORMS[form](database.bind, here)
    assert len(seen) == 1
    works(database)
    within(PATIENCE, lambda: (works(database), database.disconnect()))
    assert all(one == (True, seen[0][1]) for one in seen)
    assert len(seen) > 1


def test_on_connect_may_write(regions: TwoRegions, wrap: Any, here: dict[str, Any]) -> None:
    regions.query("CREATE TABLE seen (pid int)")
    regions.cluster.wait_for_replica()
    database = orm.Database()

    @database.on_connect  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        connection.cursor().execute("INSERT INTO seen VALUES (pg_backend_pid())")

    wrap(database)
    database.bind("postgres", **here)
    assert regions.query("SELECT count(*) FROM seen") == 1


def test_on_connect_reads_the_replica(wrap: Any, here: dict[str, Any]) -> None:
    database, seen = orm.Database(), []

    @database.on_connect  # type: ignore[untyped-decorator]
    def connected(db: Any, connection: Any) -> None:
        connection.cursor().execute("SELECT 1")
        seen.append(route())

    wrap(database)
    database.bind("postgres", **here)
    assert seen == [LOCAL]


def test_a_bind_that_fails_can_be_repeated(wrap: Any, here: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    with pytest.raises(orm.dbapiprovider.OperationalError, match="In region 'lax' the database's address has to be"):
        database.bind("postgres", **{**here, "port": 1})
    assert (database.provider, database.provider_name) == (None, None)
    with pytest.raises(TypeError, match="Database provider is not specified"):
        database.bind()
    database.bind("postgres", **here)
    with pytest.raises(orm.core.BindingError, match="already bound to PostgreSQL"):
        database.bind("postgres", **here)
    works(database)


def test_tables_can_be_checked_and_dropped(regions: TwoRegions, wrap: Any, here: dict[str, Any]) -> None:
    database = wrap(orm.Database("postgres", **here))
    works(database)
    again = wrap(orm.Database("postgres", **here))
    again.Entity.__class__("Item", (again.Entity,), {"name": orm.Required(str, unique=True)})
    before = regions.wan.round_trips
    again.generate_mapping(check_tables=False)
    assert regions.wan.round_trips == before
    again.check_tables()
    with pytest.raises(orm.core.TableIsNotEmpty):
        again.drop_table("item")
    again.drop_all_tables(with_all_data=True)
    assert regions.query("SELECT to_regclass('item')") is None


# Connections


class Mine(ext.connection):
    """A connection class of a user's own."""

    opened = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Mine.opened += 1

    def mine(self) -> str:
        return "mine"


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_connection_class_of_the_users_own_is_kept(wrap: Any, here: dict[str, Any], bound_first: bool) -> None:
    database, opened = orm.Database(), Mine.opened
    given = {**here, "connection_factory": Mine}
    if bound_first:
        database.bind("postgres", **given)
    wrap(database)
    if not bound_first:
        database.bind("postgres", **given)
    works(database)
    with orm.db_session:
        connection = database.get_connection()
        assert isinstance(connection, Mine)
        assert (connection.mine(), type(connection).__name__) == ("mine", "Mine")
    assert Mine.opened > opened


def test_a_connection_factory_that_is_no_class_is_refused(wrap: Any, here: dict[str, Any]) -> None:
    database = wrap(orm.Database())
    with pytest.raises(fly_orm.NotSupported, match="connection_factory must be a class"):
        database.bind("postgres", **here, connection_factory=lambda *args, **kwargs: Mine(*args, **kwargs))
    assert database.provider is None


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_cursor_class_of_the_users_own_is_kept(wrap: Any, here: dict[str, Any], bound_first: bool) -> None:
    database = orm.Database()
    given = {**here, "cursor_factory": extras.DictCursor}
    if bound_first:
        database.bind("postgres", **given)
    wrap(database)
    if not bound_first:
        database.bind("postgres", **given)
    works(database)
    with orm.db_session:
        local = database.get_connection().cursor()
        local.execute("SELECT name FROM item")
        written = database.execute("INSERT INTO item (name) VALUES ('x') RETURNING name AS given")
        assert isinstance(written, extras.DictCursor)
        assert written.fetchone()["given"] == "x"
        assert local.fetchone()["name"].startswith("item of")


def test_the_drivers_own_tools_take_a_connection(wrap: Any, here: dict[str, Any]) -> None:
    database = wrap(orm.Database("postgres", **here))
    works(database)
    with orm.db_session:
        connection = database.get_connection()
        assert ext.quote_ident("a b", connection) == '"a b"'
        assert psycopg2.sql.SQL("SELECT {}").format(psycopg2.sql.Literal(1)).as_string(connection) == "SELECT 1"
        extras.register_uuid(conn_or_curs=connection)
        cursor = connection.cursor(cursor_factory=extras.RealDictCursor)
        cursor.execute("INSERT INTO item (name) VALUES ('x') RETURNING name")
        assert cursor.fetchall() == [{"name": "x"}]


# Where nothing is routed


@pytest.mark.parametrize("bound_first", [True, False])
@pytest.mark.parametrize("given", [settings("syd"), NO_REGIONS], ids=["primary region", "no regions"])
def test_where_nothing_need_be_routed_a_database_is_as_unwrapped(
    regions: TwoRegions, made: list[Any], given: Settings, bound_first: bool
) -> None:
    database = orm.Database()
    made.append(database)
    there = named(regions.cluster.primary, regions.name)
    if bound_first:
        database.bind("postgres", **there)
    assert fly_orm.wrap(database, settings=given) is database
    if not bound_first:
        database.bind("postgres", **there)
    Item = database.Entity.__class__(  # noqa: N806  # an entity
        "Item", (database.Entity,), {"name": orm.Required(str, unique=True)}
    )
    database.generate_mapping(create_tables=True)
    before = regions.wan.round_trips
    with orm.db_session:
        Item(name="x")
        connection = database.get_connection()
        assert type(connection).__mro__[-2].__module__ == "psycopg2.extensions"
        cursor = connection.cursor()
        assert type(cursor).__name__ == "cursor"
        assert (type(cursor) is ext.cursor) is (given.topology.primary_region is None)
        assert type(connection).__name__ == "connection"
    with pytest.raises(orm.TransactionIntegrityError), orm.db_session:
        Item(name="x")
    with orm.db_session(serializable=True):
        assert Item.get().name == "x"
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM item") == 1


def test_without_regions_a_database_has_nothing_of_ours(regions: TwoRegions, made: list[Any]) -> None:
    database = orm.Database("postgres", **named(regions.cluster.primary, regions.name))
    made.append(database)
    fly_orm.wrap(database, settings=NO_REGIONS)
    assert type(database.provider) is PGProvider
    assert type(database.provider.pool) is PGPool
    with orm.db_session:
        assert type(database.get_connection()) is ext.connection


def test_a_replica_that_is_none_takes_writes_directly(regions: TwoRegions, wrap: Any) -> None:
    database = wrap(orm.Database("postgres", **named(regions.cluster.primary, regions.name)))
    item = database.Entity.__class__("Item", (database.Entity,), {"name": orm.Required(str)})
    database.generate_mapping(create_tables=True)
    before = regions.wan.round_trips
    with orm.db_session:
        item(name="x")
    assert regions.wan.round_trips == before
    assert regions.query("SELECT count(*) FROM item") == 1


@pytest.mark.parametrize("given", [settings("syd"), NO_REGIONS], ids=["primary region", "no regions"])
@pytest.mark.parametrize("bound_first", [True, False])
def test_sqlite_is_left_alone_where_nothing_need_be_routed(
    tmp_path: Path, made: list[Any], given: Settings, bound_first: bool
) -> None:
    database = orm.Database()
    made.append(database)
    if bound_first:
        database.bind("sqlite", str(tmp_path / "x.db"), create_db=True)
    assert fly_orm.wrap(database, settings=given) is database
    if not bound_first:
        database.bind(provider="sqlite", filename=str(tmp_path / "x.db"), create_db=True)
    item = database.Entity.__class__("Item", (database.Entity,), {"name": orm.Required(str)})
    database.generate_mapping(create_tables=True)
    with orm.db_session:
        item(name="x")
    with orm.db_session:
        assert item.get().name == "x"
    assert (type(database.provider).__module__, database.provider_name) == ("pony.orm.dbproviders.sqlite", "sqlite")


def test_sqlite_is_refused_elsewhere(tmp_path: Path) -> None:
    database = orm.Database("sqlite", str(tmp_path / "x.db"), create_db=True)
    with pytest.raises(fly_orm.NotSupported, match=r"SQLite.*region 'lax'"):
        fly_orm.wrap(database, settings=settings("lax", "127.0.0.1:1"))
    database.disconnect()


@pytest.mark.parametrize(
    "bind",
    [
        lambda db: db.bind("sqlite", ":memory:"),
        lambda db: db.bind(provider="sqlite", filename=":memory:"),
        lambda db: db.bind({"provider": "sqlite", "filename": ":memory:"}),
        lambda db: db.bind("cockroach", database="x"),
        lambda db: db.bind(CRProvider, database="x"),
    ],
)
def test_what_is_no_postgres_is_refused_when_it_is_bound_elsewhere(bind: Callable[[Any], Any]) -> None:
    database = fly_orm.wrap(orm.Database(), settings=settings("lax", "127.0.0.1:1"))
    with pytest.raises(fly_orm.NotSupported, match="cannot be routed from region 'lax': only 'postgres' can"):
        bind(database)
    assert database.provider is None


def test_what_is_no_database_of_pony_is_refused() -> None:
    database = orm.Database()

    class Item(database.Entity):  # type: ignore[misc, name-defined]
        name = orm.Required(str)

    for wrong in (Item, orm.db_session):
        with pytest.raises(fly_orm.ConfigurationError, match="takes a Pony Database, not"):
            fly_orm.wrap(wrong, settings=settings("syd"))


# Serving


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


def test_wrapping_says_nothing(regions: TwoRegions, wrap: Any, here: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        works(wrap(orm.Database("postgres", **here)))
    assert caplog.records == []
