"""Functions with Pony that run in the primary region, on a node that is a process of its own."""

from __future__ import annotations

import psycopg2
import pytest
from pony import orm
from pony.orm.ormtypes import TrackedValue

import fly_orm
from fly_orm import Route
from fly_orm.codec import decode, encode
from fly_orm.forwarding import sealed_channel
from fly_orm.testing.contract.tools import in_thread, until
from fly_orm.topology import Node
from tests.support import pony_shop
from tests.support.nodes import node_process, url
from tests.support.servers import crash_backend
from tests.support.two_regions import named, settings
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.over_every_transport


@pytest.fixture
def lax(cluster, database, transport_between):
    """The application in lax, with one node in syd."""
    plain = orm.Database("postgres", **named(cluster.primary, database))
    pony_shop.define(plain)
    plain.generate_mapping(create_tables=True)
    plain.disconnect()
    cluster.wait_for_replica()
    with node_process("tests.support.pony_shop:db", PONY_URL=url(cluster.primary, database)) as node:
        nodes = {"syd": (Node(region="syd", address=node.address()),)}
        fly_orm.configure(settings("lax", nodes=nodes))
        made = fly_orm.wrap(orm.Database())
        pony_shop.define(made)
        made.bind("postgres", **named(cluster.replica, database))
        made.generate_mapping()
        yield made
        orm.rollback()
        made.disconnect()
        made._fly_orm.close()


def test_entities_are_loaded_here_once_the_replica_has_them(lax):
    with orm.db_session:
        items = pony_shop.stock("a", "b")
        served = fly_orm.why()
        assert items == list(lax.Item.select().order_by(lax.Item.id))
        assert [item.name for item in items] == ["a", "b"]
        assert fly_orm.why().route is Route.LOCAL
    assert served.route is Route.LOCAL  # they were loaded after the call


def test_a_db_session_may_be_above_and_below(lax):
    assert pony_shop.stock_in_a_session("a", "b") == ["a", "b"]
    with pytest.raises(orm.TransactionIntegrityError):
        pony_shop.stock_in_a_session("c", "a")
    with orm.db_session:
        assert [item.name for item in lax.Item.select()] == ["a", "b"]
        assert fly_orm.why().route is Route.LOCAL
    with pytest.raises(orm.core.TransactionError, match="db_session is required"):
        pony_shop.stock_without_any("c")


def test_without_a_db_session_they_are_as_after_one(lax):
    (item,) = pony_shop.stock("a")
    assert (item.name, item.left) == ("a", 0)
    with pytest.raises(orm.DatabaseSessionIsOver):
        item.left = 1


def test_an_entity_goes_there_by_its_key_and_what_is_done_to_it_is_seen_here(lax):
    pony_shop.stock("a")
    with orm.db_session:
        pony_shop.rename(lax.Item.get(name="a"), "b")
    with orm.db_session:
        assert [item.name for item in lax.Item.select()] == ["b"]


def test_a_composite_key_with_an_entity_in_it_travels(lax):
    (item,) = pony_shop.stock("a")
    sale = pony_shop.sell(item, 3)
    assert (sale.item.id, sale.number) == (item.id, 3)
    assert pony_shop.sold(sale) == ("a", 3)


def test_the_value_of_a_json_attribute_arrives_as_a_plain_one(lax):
    with orm.db_session:
        [item] = pony_shop.stock("a")
        value = TrackedValue.make(item, None, {"a": [1, {"b": 2}]})
        arrived = decode(encode(value, "the result"))
    assert arrived == {"a": [1, {"b": 2}]}
    assert (type(arrived), type(arrived["a"])) == (dict, list)


def test_one_that_is_new_is_saved_before_it_travels(lax):
    (item,) = pony_shop.stock("a")
    assert pony_shop.stock_without_session(item, "lid").name == "lid of a"


def test_one_that_cannot_be_saved_is_said_to_be_so(lax):
    (item,) = pony_shop.stock("a")
    pony_shop.stock_without_session(item, "lid")
    with pytest.raises(orm.TransactionIntegrityError, match="unique"):
        pony_shop.stock_without_session(item, "lid")


def test_one_that_is_not_there_any_more_is_refused_before_the_function_runs(lax):
    (item,) = pony_shop.stock("a")
    with orm.db_session:
        lax.Item[item.id].delete()
    with pytest.raises(fly_orm.Refused, match=r"cannot be loaded: Item\[1\]"):
        pony_shop.rename(item, "b")


def test_what_pony_raises_arrives_as_itself_and_the_db_session_is_rolled_back(lax):
    with pytest.raises(orm.ObjectNotFound, match=r"Item\[1000000\]"):
        pony_shop.fail("a")
    pony_shop.stock("a")
    with pytest.raises(orm.TransactionIntegrityError):
        pony_shop.stock("a")
    assert pony_shop.count() == 1


def test_a_function_that_raises_lets_what_it_committed_be_seen(lax):
    with pytest.raises(ValueError, match="a"):
        pony_shop.commit_and_fail("a")
    with orm.db_session:
        assert [item.name for item in lax.Item.select()] == ["a"]


def test_a_call_is_refused_while_something_is_not_committed_here(lax):
    with orm.db_session:
        lax.Item(name="a")
        with pytest.raises(fly_orm.NotSupported, match="cannot join the one that is open"):
            pony_shop.count()
        orm.commit()
        assert pony_shop.count() == 1


def test_a_db_session_that_a_function_leaves_open_is_rolled_back(lax):
    for _ in range(3):
        pony_shop.leave_open("lost")
        assert [item.name for item in pony_shop.stock("kept")] == ["kept"]
        pony_shop.forget()
        assert pony_shop.count() == 1
        with orm.db_session:
            lax.Item.get(name="kept").delete()


def test_a_query_is_asked_again_after_a_call(lax):
    with orm.db_session:
        assert orm.count(item for item in lax.Item) == 0
        pony_shop.stock("a")
        assert orm.count(item for item in lax.Item) == 1


def test_a_read_after_a_commit_is_no_transaction_to_a_call(lax):
    with orm.db_session:
        lax.Item(name="a")
        orm.commit()
        assert orm.count(item for item in lax.Item) == 1
        assert pony_shop.count() == 1


def test_no_function_meets_a_connection_that_was_lost_while_it_was_idle(lax, cluster, database):
    names = ["a", "b", "c", "d"]
    for _ in range(2):
        started = [in_thread(pony_shop.stock_slowly, name) for name in names]  # on as many connections
        assert [each.exception(PATIENCE) for each in started] == [None] * 4
        with orm.db_session:
            lax.Item.select().delete(bulk=True)
        crash_backend(cluster.primary)
        until(lambda: accepts(cluster.primary))


def accepts(server):
    try:
        return server.query("SELECT 1")
    except psycopg2.Error:
        return False


def test_a_connection_that_is_lost_in_a_function_is_its_error_and_not_that_of_the_rollback(lax, cluster, database):
    with pytest.raises(orm.OrmError, match="closed the connection") as caught:
        pony_shop.stock_after_a_crash("a")
    assert not isinstance(caught.value, orm.core.RollbackException)
    until(lambda: count_if_up() == 0)


def count_if_up():
    try:
        return pony_shop.count()
    except orm.OrmError:  # the server is in recovery still
        return None


def test_time_that_is_over_cancels_what_runs(lax, cluster, database, monkeypatch):
    # The caller keeps back more of its time than usual, so that the reply arrives in time even from a busy machine.
    monkeypatch.setattr(sealed_channel, "_MARGIN", pony_shop.PATIENCE - 2)
    with pytest.raises((orm.OperationalError, psycopg2.Error), match="the call timed out"):
        pony_shop.wait_long()
    running = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE '%pg_sleep(%'"
    until(lambda: cluster.primary.query(f"{running} AND state = 'active' AND pid <> pg_backend_pid()") == 0)
