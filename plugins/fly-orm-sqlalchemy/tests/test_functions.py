"""Functions that run on another node: mapped objects and rows travel, and the next function inherits nothing."""

from __future__ import annotations

import gc
import itertools
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy_shop as shop
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from fly_orm_sqlalchemy import loading_into
from sqlalchemy import event, insert, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session
from sqlalchemy_models import Item, Owner, item_table
from sqlalchemy_regions import LOCAL, EngineRegions, fill, router_of

import fly_orm
from fly_orm.ledger.table import create_sql
from tests.support.nodes import node_process, url
from tests.support.roles import roles
from tests.support.shared_cluster import make_database, restore
from tests.support.two_regions import Regions, settings

pytestmark = pytest.mark.usefixtures("no_spare_channels")

numbers = itertools.count(1)
TABLES = "item, owner, versioned, fly_orm_ledger"


@pytest.fixture(scope="module")
def node(cluster, transport):
    """A node of another process, and the name of the database that it serves."""
    restore(cluster)  # this comes before what is done for each test
    name = make_database(cluster)
    with closing(EngineRegions(Regions(cluster=cluster, name=name, undo=ExitStack()))) as made:
        made.create_tables()
        made.query(create_sql())
    folder = Path(shop.__file__).parent
    with node_process("sqlalchemy_shop:engine", folder=folder, SHOP_URL=url(cluster.primary, name)) as node:
        yield SimpleNamespace(name=name, address=node.address())
    cluster.drop_database(name)


@pytest.fixture
def regions(cluster, node):
    """Regions whose tables are empty."""
    with closing(EngineRegions(Regions(cluster=cluster, name=node.name, undo=ExitStack()))) as made:
        made.query(f"TRUNCATE {TABLES} RESTART IDENTITY")
        cluster.wait_for_replica()
        yield made
    shop.engine = made = None
    gc.collect()  # or the next test could be given an engine of this one


@pytest.fixture
def served(regions, node):
    """The engine of a process in lax."""
    fly_orm.configure(settings("lax", node.address))
    shop.engine = regions.lax(wrap={"settings": None}, pool_size=2, max_overflow=0)
    return shop.engine


@pytest.fixture
def syd(regions):
    """The engine of a process in the primary region."""
    fly_orm.configure(settings("syd"))
    options = {"settings": None, "name": f"{regions.name}_{next(numbers)}"}  # others may not be gone yet
    shop.engine = regions.syd(wrap=options, pool_size=2, max_overflow=0)
    return shop.engine


@pytest.fixture(params=["served", "syd"])
def engine(request):
    """The functions of the application do the same in both regions."""
    return request.getfixturevalue(request.param)


def names(regions):
    return regions.query("SELECT coalesce(array_agg(name ORDER BY id), '{}') FROM item")


@pytest.mark.parametrize("transport", ["pyro5", pytest.param("nats", marks=pytest.mark.slow)], indirect=True)
def test_what_a_function_writes_is_read_here(regions, served):
    item = shop.stock("a", "b")
    assert (item.name, item.id, inspect(item).detached) == ("b", 2, True)
    with Session(served) as session:
        assert session.scalars(select(Item.name).order_by(Item.id)).all() == ["a", "b"]
        assert fly_orm.why().route is LOCAL
    with pytest.raises(IntegrityError) as caught:
        shop.stock("c", "a")
    assert caught.value.orig.diag.constraint_name == "item_name_key"
    assert "INSERT INTO item" in str(caught.value), caught.value.__notes__
    assert names(regions) == ["a", "b"]


def test_a_class_method_runs_for_the_mapped_class_that_it_is_called_for(served):
    assert Item.table_in_region() == ("item", "syd")
    assert Owner(name="ann").table_in_region() == ("owner", "syd")
    assert Owner.table_in_region.local() == ("owner", "lax")


class TestAnObject:
    def test_may_be_merged_into_a_session_of_the_functions_own(self, regions, engine):
        with Session(engine) as session:
            session.add(owner := Owner(name="ann"))
            session.commit()
            shop.stock("a", "b", owner=owner)
            session.commit()
            assert [item.name for item in owner.items] == ["a", "b"]

    def test_may_be_changed_in_the_session_that_it_comes_in(self, regions, engine):
        fill(engine, 1)
        with Session(engine) as session, loading_into(session):
            item = session.get(Item, 1)
            assert shop.add(item, 5) is item
            assert item.n == 5
            assert shop.add(item, 5).n == 10
        assert regions.query("SELECT n FROM item") == 10

    def test_is_detached_where_no_session_is_chosen_and_can_be_added_to_one(self, served):
        item = shop.stock("a")
        with Session(served) as session:
            session.add(item)
            assert item.owner is None
            assert session.get(Item, 1) is item

    def test_is_loaded_anew_but_not_in_place_of_what_was_changed(self, regions, served):
        fill(served, 2)
        with Session(served) as session, loading_into(session):
            first, second = session.get(Item, 1), session.get(Item, 2)
            regions.query("UPDATE item SET n = 7")
            regions.cluster.wait_for_replica()
            second.n = 3
            assert shop.stock("c").name == "c"
            assert shop.echo(first).n == 7
            assert (first.n, second.n) == (7, 3)
            assert [each.n for each in shop.echo([first])] == [7]

    def test_is_loaded_into_the_session_of_a_block_that_is_open_in_whatever_order_others_end(self, served):
        with Session(served) as one, Session(served) as session:
            first, second = loading_into(one), loading_into(session)
            first.__enter__()
            second.__enter__()
            first.__exit__(None, None, None)
            assert object_session(shop.stock("a")) is session
            second.__exit__(None, None, None)
            assert object_session(shop.stock("b")) is None

    def test_of_flask_sqlalchemy_is_loaded_into_its_session(self, regions, node):
        fly_orm.configure(settings("lax", node.address))
        app = Flask("shop")
        address = url(regions.cluster.replica, regions.name)
        app.config |= {"SQLALCHEMY_DATABASE_URI": address, "SQLALCHEMY_ENGINE_OPTIONS": {"plugins": ["fly_orm"]}}
        db = SQLAlchemy(app)
        with app.app_context():
            regions.close_later(db.engine)
            item = shop.stock("a")
            assert item in db.session
            assert db.session.get(Item, 1) is item

    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (lambda session: Item(name="new"), r"not in the database; add it to a Session and commit\(\) first"),
            (lambda session: modified(session.get(Item, 1)), r"has changes that are not in the database; commit\(\)"),
            (lambda session: hidden(session), "define it at the top level of a module"),
        ],
        ids=["new", "changed", "local class"],
    )
    def test_does_not_travel_unless_the_database_has_it(self, served, make, complaint):
        fill(served, 1)
        with Session(served) as session, pytest.raises(fly_orm.NotPortable, match=complaint):
            shop.echo(make(session))

    def test_that_was_deleted_or_not_committed_does_not_travel(self, regions, served):
        fill(served, 1)
        with Session(served) as session:
            item = session.get(Item, 1)
            session.delete(item)
            session.commit()
            with pytest.raises(fly_orm.NotPortable, match="it was deleted"):
                shop.echo(item)
        fill(served, 1)
        with Session(served) as session:
            item = session.scalars(select(Item)).one()
            with pytest.raises(fly_orm.ResultLost, match="changes that are not in the database"):
                shop.changed(item)
        with pytest.raises(fly_orm.ResultLost, match="not in the database, or was not committed"):
            shop.uncommitted("x")
        assert names(regions) == ["1"]

    def test_of_an_engine_that_is_not_wrapped_does_not_travel(self, regions, served):
        fill(served, 1)
        with Session(regions.unwrapped()) as session, pytest.raises(fly_orm.NotPortable, match="engine that is not wr"):
            shop.echo(session.get(Item, 1))


def modified(item):
    item.n += 1
    return item


def hidden(session):
    class Hidden(DeclarativeBase):
        pass

    class Other(Hidden):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)

    return session.get(Other, 1)


def test_rows_travel_with_the_names_of_their_columns(engine):
    fill(engine, 2)
    row, mapping, both = shop.rows()
    assert (row.id, row.name, tuple(row), row._mapping["name"]) == (1, "1", (1, "1"), "1")
    assert dict(mapping) == {"id": 1, "name": "1"}
    assert (both.Item.name, both.count) == ("1", 1)
    with engine.connect() as connection:
        [given] = connection.execute(select(Item.name.label("x")).limit(1))
        assert shop.echo(given).x == "1"
        assert shop.echo([given, 3]) == [("1",), 3]


def test_rows_of_tables_travel_and_names_arrive_as_texts(engine):
    made, chosen, mapping, values, table = shop.rows_of_table("a")
    assert (made.id, made.name, made._fields) == (1, "a", ("id", "name"))
    assert (chosen.name, chosen.count_1) == ("a", 1)
    assert dict(mapping) == {"name": "a"}
    assert (values, table) == ({"id": 1, "name": "a", "n": 0}, "item")
    with Session(engine) as session:
        given = session.execute(select(item_table)).one()
        assert shop.echo([given, given._mapping])[0].name == "a"


def test_what_an_object_holds_travels_as_plain_collections(served):
    items, *values = shop.children("ann")
    assert type(items) is list
    assert [item.name for item in items] == ["a", "b"]
    assert values == [{"a": [1]}, {1}]
    assert [type(value) for value in values] == [dict, set]
    with pytest.raises(fly_orm.ResultLost, match=r"pass \.all\(\) of it"):
        shop.not_read()


def test_a_function_cannot_join_a_transaction_and_may_follow_reads(served):
    with Session(served) as session:
        assert session.scalars(select(Item)).all() == []
        shop.stock("a")
        session.add(Item(name="b"))
        session.flush()
        with pytest.raises(fly_orm.NotSupported, match="cannot join the one that is open"):
            shop.stock("c")
        session.rollback()
        shop.stock("d")


def test_the_next_function_finds_nothing_of_the_one_before(regions, served):
    for number in range(3):
        shop.leave_open(f"{number}")
        assert shop.use_what_was_left(f"new {number}") == ([], 0)
    assert names(regions) == ["new 0", "new 1", "new 2"]
    before = shop.setting()
    shop.change_settings()
    assert shop.setting() == before


def test_a_function_that_needs_a_connection_may_have_as_many_objects_as_it_likes(served):
    fill(served, 20)
    with Session(served) as session:
        items = session.scalars(select(Item)).all()
        assert len(shop.echo(items)) == 20


class TestExactlyOnce:
    def test_in_the_primary_region_a_session_that_has_read_has_to_end_its_transaction(self, regions, syd):
        with Session(syd) as session:
            session.scalars(select(Item)).all()
            with pytest.raises(fly_orm.NotSupported, match=r"is open on .*session\.rollback\(\) end"):
                fly_orm.call(fly_orm.PRIMARY, shop.order, "a", "ann", exactly_once=router_of(syd).name)
            session.rollback()
            fly_orm.call(fly_orm.PRIMARY, shop.order, "a", "ann", exactly_once=router_of(syd).name)
        assert names(regions) == ["a", "a, nested"]

    def test_all_sessions_and_connections_of_a_function_are_one_transaction(self, regions, engine):
        results = {
            fly_orm.call(
                fly_orm.PRIMARY, shop.order, "a", "ann", operation_key="order 1", exactly_once=router_of(engine).name
            )
            for _ in range(2)
        }
        assert results == {2}
        assert names(regions) == ["a", "a, nested"]
        with pytest.raises(IntegrityError):
            fly_orm.call(fly_orm.PRIMARY, shop.order, "b", "ann", exactly_once=router_of(engine).name)
        assert names(regions) == ["a", "a, nested"]
        with pytest.raises(ZeroDivisionError):
            fly_orm.call(fly_orm.PRIMARY, shop.fail, "c", exactly_once=router_of(engine).name)
        assert names(regions) == ["a", "a, nested"]
        assert shop.engine.pool.checkedout() == 0
        fill(engine, 1)

    def test_sessions_whose_transactions_overlap_are_refused(self, regions, engine):
        with pytest.raises(fly_orm.FlyOrmError, match="use one Session or Connection at a time"):
            fly_orm.call(fly_orm.PRIMARY, shop.overlapping, exactly_once=router_of(engine).name)
        assert names(regions) == []

    def test_a_repetition_gets_the_first_result_where_connections_assume_a_role(self, regions, syd):
        with roles(regions.cluster, regions.name, "clerk") as [role]:
            regions.query(create_sql([role]))
            regions.query(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"')
            regions.query(f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{role}"')

            @event.listens_for(syd, "connect")
            def assume_role(connection, _record):
                with connection.cursor() as cursor:
                    cursor.execute(f'SET ROLE "{role}"')
                connection.commit()

            for _ in range(2):
                with fly_orm.operation("order 3"):
                    made = fly_orm.call(fly_orm.PRIMARY, shop.order, "a", "ann", exactly_once=router_of(syd).name)
                assert made == 2
            assert regions.query(f"SELECT count(*) FROM fly_orm_ledger WHERE role = '{role}'") == 2
        assert names(regions) == ["a", "a, nested"]

    def test_a_transaction_with_a_key_is_executed_once(self, regions, engine):
        for raised in (nullcontext(), pytest.raises(fly_orm.AlreadyCommitted)):
            with raised, fly_orm.operation("order 2"), Session(engine) as session, session.begin():
                session.execute(insert(Item).values(name="0"))
        assert names(regions) == ["0"]
