"""Functions that run in one transaction with their row in the ledger."""

from __future__ import annotations

from contextvars import copy_context

import pytest
from pony import orm

import fly_orm
from fly_orm.ledger.table import create_sql
from fly_orm.testing.contract.tools import in_thread, result
from tests.functions.conftest import bare, here  # noqa: F401  # fixtures
from tests.support import pony_shop, shop
from tests.support.nodes import node_process, url
from tests.support.two_regions import named, settings
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def lax(here):  # noqa: F811
    here.query(create_sql())
    here.db._fly_orm.exactly_once = True
    return here


@pytest.fixture(autouse=True)
def _name(database):
    """Say which database is meant: those of other tests may not be gone yet."""
    once.database = database


def once(function, *args, **options):
    return fly_orm.call(fly_orm.PRIMARY, function, *args, exactly_once=once.database, **options)


INSERT = "INSERT INTO item (name, price) VALUES ('a', 1)"


@fly_orm.on_primary
def block_inside(name):
    with fly_orm.operation("order-42"):
        shop.Item.insert(name=name, price=1).execute()


@fly_orm.on_primary
def call_inside(name):
    return fly_orm.call(fly_orm.PRIMARY, shop.stock, [name], operation_key="order-42")


class TestACall:
    @pytest.mark.usefixtures("no_spare_channels")
    def test_whose_reply_is_lost_returns_its_result_unless_it_has_raised(self, lax):
        once(shop.stock, ["first"])
        lax.wan.cut_before_reply()
        item = once(shop.stock, ["a", "b"])
        assert (item.name, item.id) == ("b", 3)
        assert lax.names() == ["first", "a", "b"]
        with pytest.raises(shop.SoldOut):
            once(shop.sell, "c", 1)
        lax.wan.cut_before_reply()
        with pytest.raises(fly_orm.NotDelivered, match="has committed nothing, and will not"):
            once(shop.sell, "c", 1)
        assert lax.stored() == ["first", "a", "b"]

    def test_with_a_key_runs_once(self, lax):
        ids = {once(shop.stock, ["a"], operation_key="order-42").id for _ in range(3)}
        with fly_orm.operation("order-42"):
            ids.add(once(shop.stock, ["a"]).id)
        ids.add(once(shop.stock, names=["a"], operation_key="order-42").id)
        assert ids == {1}
        with pytest.raises(fly_orm.Refused, match="other parameters or arguments"):
            once(shop.stock, ["b"], operation_key="order-42")
        with pytest.raises(fly_orm.Refused, match="choose another key"):
            once(shop.count, operation_key="order-42")

    def test_of_another_thread_in_the_same_block_is_no_repetition(self, lax, database, cluster):
        with cluster.primary.connect(database) as holder, fly_orm.operation("order-42"):
            holder.cursor().execute("BEGIN; LOCK TABLE item")
            calling = in_thread(copy_context().run, lambda: once(shop.stock, ["a"]).id)
            until(lambda: lax.query("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            with pytest.raises(fly_orm.NotSupported, match="is being executed by another thread or task"):
                once(shop.stock, ["a"])
            holder.cursor().execute("COMMIT")
            assert result(calling, PATIENCE) == 1
        holder.close()
        with fly_orm.operation("order-44"), pytest.raises(fly_orm.NotSupported, match="inside of another, 'order-44'"):
            once(shop.stock, ["c"], operation_key="order-45")
        for _ in range(2):
            with pytest.raises(fly_orm.NotPortable, match="Nothing was committed"):
                once(shop.cannot_come_back, "b", operation_key="order-43")
        assert lax.stored() == ["a"]

    def test_must_not_end_its_transaction(self, lax):
        for statement in ("COMMIT", "SELECT 1; COMMIT", "END"):
            with pytest.raises(fly_orm.FlyOrmError, match="must not commit itself"):
                once(shop.sql, INSERT, statement)
        with pytest.raises(fly_orm.FlyOrmError, match="has rolled back"):
            once(shop.sql, INSERT, "ROLLBACK", INSERT)
        assert lax.stored() == []
        assert once(shop.stock_all, "a", "b") == 2
        assert lax.names() == ["a", "b"]

    def test_that_was_voided_may_run_here(self, lax, monkeypatch):
        lax.live_in_lax(lax.address, region="ams")  # where no other test has left a database
        lax.leave()
        lax.db = lax.database(lax.cluster.primary, exactly_once=True)  # as after a promotion that no node knows of yet
        lax.db.bind(shop.MODELS)
        assert shop.Item.select().count() == 0
        forwarder = lax.db._fly_orm.forwarder

        def lose(*_args, **_options):
            raise fly_orm.OutcomeUnknown("the request was lost on its way")

        monkeypatch.setattr(forwarder, "call", lose)
        assert once(shop.stock, ["a"]).name == "a"
        assert lax.stored() == ["a"]

    def test_runs_only_next_to_a_primary_that_has_a_ledger(self, lax):
        with pytest.raises(fly_orm.NotSupported, match=r"fly_orm\.PRIMARY"):
            fly_orm.call("ams", shop.region, exactly_once=lax.name)
        lax.query("DROP TABLE fly_orm_ledger")
        with pytest.raises(fly_orm.Refused, match="fly-orm ledger create"):
            once(shop.stock, ["a"])
        assert lax.stored() == []


class TestInThePrimaryRegion:
    @pytest.fixture
    def syd(self, bare):  # noqa: F811
        bare.query(create_sql())
        fly_orm.configure(settings("syd"))
        bare.db = bare.database(bare.cluster.primary, exactly_once=True)
        bare.db.bind(shop.MODELS)
        return bare

    def test_a_call_with_a_key_runs_once(self, syd):
        for _ in range(2):
            with fly_orm.operation("order-42"):
                assert once(shop.stock, ["a"]).id == 1
            with fly_orm.operation("order-42"), pytest.raises(fly_orm.Refused, match="other parameters or arguments"):
                once(shop.stock, ["b"])
        assert syd.stored() == ["a"]

    def test_it_is_one_transaction(self, syd):
        with pytest.raises(shop.SoldOut):
            once(shop.sell, "a", 1)
        with pytest.raises(fly_orm.NotSupported, match="must not commit itself"):
            once(shop.sql, INSERT, "COMMIT")
        with pytest.raises(fly_orm.NotPortable, match="Nothing was committed"):
            once(shop.cannot_come_back, "b")
        assert syd.stored() == []
        assert not syd.db.in_transaction()

    def test_no_operation_begins_inside_of_it(self, syd):
        for call in block_inside, call_inside:
            with pytest.raises(fly_orm.NotSupported, match=f"inside of a call of .*{call.function.name}"):
                once(call, "a")
        assert syd.stored() == []

    def test_it_does_not_join_another_transaction(self, syd):
        with syd.db.atomic(), pytest.raises(fly_orm.NotSupported, match="before or after"):
            once(shop.stock, ["a"])

    def test_it_needs_to_know_its_database_object(self, syd):
        another = syd.database(syd.cluster.primary, exactly_once=True)
        with pytest.raises(fly_orm.ConfigurationError, match="2 database objects"):
            once(shop.stock, ["a"])
        another._fly_orm.close()
        assert syd.stored() == []

    @pytest.mark.parametrize("committed", [True, False])
    def test_a_commit_whose_reply_is_lost_is_settled(self, syd, monkeypatch, committed):
        lose_commit(syd, monkeypatch, committed=committed)
        if committed:
            assert once(shop.stock, ["a"]).name == "a"
        else:
            with pytest.raises(fly_orm.NotDelivered, match="committed nothing"):
                once(shop.stock, ["a"])
        assert syd.stored() == (["a"] if committed else [])


def lose_commit(regions, monkeypatch, *, committed):
    """Lose the connection right before or right after the next COMMIT of peewee's."""
    commit = type(regions.db).commit

    def lost(database):
        monkeypatch.undo()
        if committed:
            commit(database)
        pid = database.connection().get_backend_pid()
        regions.query(f"SELECT pg_terminate_backend({pid}, 5000)")
        database.execute_sql("SELECT 1")

    monkeypatch.setattr(type(regions.db), "commit", lost)


class TestWithPony:
    @pytest.fixture
    def lax(self, cluster, database, transport_between):
        plain = orm.Database("postgres", **named(cluster.primary, database))
        pony_shop.define(plain)
        plain.generate_mapping(create_tables=True)
        plain.disconnect()
        with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(create_sql())
        cluster.wait_for_replica()
        with node_process("tests.support.pony_shop:db", PONY_URL=url(cluster.primary, database)) as node:
            nodes = {"syd": (fly_orm.Node(region="syd", address=node.address()),)}
            fly_orm.configure(settings("lax", nodes=nodes))
            made = fly_orm.wrap(orm.Database(), exactly_once=True)
            pony_shop.define(made)
            made.bind("postgres", **named(cluster.replica, database))
            made.generate_mapping()
            yield made
            orm.rollback()
            made.disconnect()
            made._fly_orm.close()

    def test_a_call_with_a_key_runs_once(self, lax):
        for _ in range(2):
            with orm.db_session:
                assert [item.id for item in once(pony_shop.stock, "a", "b", operation_key="order-42")] == [1, 2]
        assert once(pony_shop.count) == 2

    def test_one_that_raises_has_written_nothing(self, lax):
        with pytest.raises(orm.ObjectNotFound):
            once(pony_shop.fail, "a")
        with pytest.raises(Exception, match="must not commit itself"):
            once(pony_shop.commit_and_fail, "a")
        assert once(pony_shop.count) == 0

    def test_an_argument_that_is_an_entity_belongs_to_the_transaction(self, lax):
        with orm.db_session:
            (item,) = once(pony_shop.stock, "a")
            once(pony_shop.rename, item, "b", operation_key="rename")
        with orm.db_session, pytest.raises(Exception, match="duplicate key"):
            once(pony_shop.stock, "b")
        assert once(pony_shop.count) == 1
