"""``fly_orm.check()`` says whether a process can serve, soon, and never that all is well if it cannot tell."""

from __future__ import annotations

import gc
import os
import weakref

import peewee
import pytest
from pony import orm

import fly_orm
from fly_orm.checking import health, writability
from fly_orm.deadline import now
from fly_orm.testing import Wan
from tests.support.processes import stopped
from tests.support.two_regions import AMPLE, named, settings
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("time_to_tell")


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    """Nothing is known from before."""
    monkeypatch.setattr(health, "MAX_AGE", 0.0)


def checked(*databases):
    return fly_orm.check(*databases, timeout=AMPLE)


def test_a_process_in_either_region_is_ready(regions):
    assert checked(regions.lax()) == checked(regions.syd()) == fly_orm.Health(status="ready")
    assert fly_orm.Health(status="ready").ready


def test_without_a_primary_region_the_local_server_is_all_that_counts(regions):
    database = regions.plain()
    fly_orm.wrap(database)
    assert checked(database).status == "ready"


def test_without_a_node_that_can_be_reached_it_is_degraded(regions):
    database = regions.lax()
    regions.serving.close()
    found = checked(database)
    assert found.status == "degraded"
    assert found.ready
    assert f"{regions.name}: writes cannot be forwarded" in found.problems[0]
    assert found.as_json() == {"status": "degraded", "problems": list(found.problems)}


def test_with_nodes_that_do_not_answer_it_is_degraded(regions, monkeypatch):
    monkeypatch.setattr(health, "_LIMIT", PATIENCE)
    monkeypatch.setattr(writability, "_ANSWER_TIMEOUT", PATIENCE)
    with Wan(regions.serving.address) as wan:
        database = regions.lax(options={"settings": settings("lax", wan.address)})
        assert checked(database).status == "ready"
        wan.stall()
        until(lambda: fly_orm.check(database, timeout=1.0).status == "degraded", "the local server is blamed")
        (problem,) = fly_orm.check(database, timeout=0.0).problems
        wan.heal()
    assert problem == (f"{regions.name}: no node of the primary region answered within 0 s, so writes may not work")


def test_a_primary_that_is_taken_for_a_replica_needs_a_node_for_writes(regions):
    database = fly_orm.wrap(regions.plain(), settings=regions.lax_settings(read_only=True))
    assert checked(database).status == "ready"
    regions.serving.close()
    assert checked(database).status == "degraded"


def test_with_a_node_of_a_replica_only_it_is_degraded(regions):
    replica = regions.on(regions.cluster.replica, options={"settings": settings("syd")})
    with fly_orm.serve(replica, listen="127.0.0.1:0", settings=settings("syd")) as node:
        database = regions.lax(options={"settings": settings("lax", node.address)})
        found = checked(database)
    assert found.status == "degraded"
    assert "is a replica" in found.problems[0]


def test_with_a_late_replica_it_is_degraded_until_it_has_caught_up(regions):
    database = regions.lax(options={"replication_timeout": 0.1})
    regions.query("CREATE TABLE t (a int)")
    regions.cluster.wait_for_replica()
    with regions.cluster.replay_paused():
        database.execute_sql("INSERT INTO t VALUES (1)")
        found = checked(database)
    assert found.status == "degraded"
    assert f"{regions.name}: the replica of this region is late" in found.problems
    regions.cluster.wait_for_replica()
    until(lambda: checked(database).status == "ready")  # although nobody uses the database meanwhile


def test_without_its_server_it_is_only_live(regions):
    database = regions.lax()
    regions.cluster.replica.stop()
    found = checked(database)
    regions.cluster.replica.start()
    assert found.status == "live"
    assert not found.ready
    assert f"{regions.name}: the local server cannot be reached" in found.problems[0]


def test_the_worst_database_counts(regions):
    down = regions.lax(options={"name": "down"}, port=1)
    found = checked(regions.lax(), down)
    assert found.status == "live"
    assert found.problems[0].startswith("down: ")


def test_what_has_not_answered_in_time_counts_as_not_working(regions):
    database = regions.lax()
    with stopped(regions.cluster.replica.pid):
        started = now()
        found = fly_orm.check(database, timeout=0.2)
        assert now() - started < AMPLE
    assert found.status == "live"
    assert "did not answer within 0.2 s" in found.problems[0]


def test_a_database_that_was_checked_can_be_collected(regions):
    fly_orm.configure(regions.lax_settings())
    database = fly_orm.wrap(peewee.PostgresqlDatabase(**named(regions.cluster.replica, regions.name)))
    router = weakref.ref(database._fly_orm)
    checked(database)
    database.close()
    del database
    until(lambda: gc.collect() >= 0 and router() is None)


def test_many_callers_cost_one_question(regions, monkeypatch):
    monkeypatch.setattr(health, "MAX_AGE", 60.0)
    database = regions.lax()
    assert checked(database).status == "ready"
    regions.serving.close()
    assert [checked(database).status for _ in range(10)] == ["ready"] * 10
    monkeypatch.setattr(health, "MAX_AGE", 0.0)
    assert checked(database).status == "degraded"


def test_a_database_without_an_address_does_not_count(regions):
    deferred = fly_orm.wrap(peewee.PostgresqlDatabase(None))
    assert checked(regions.syd(), deferred).status == "ready"
    found = checked(deferred)
    assert found.status == "live"
    assert found.problems == ("no database is wrapped in this process",)


def test_a_forked_child_asks_anew(regions):
    database = regions.lax()
    assert checked(database).status == "ready"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if checked(database).status == "ready" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("wrong", [-1, "soon", True, object()])
def test_what_is_no_timeout_is_refused(wrong):
    with pytest.raises(fly_orm.ConfigurationError, match="timeout"):
        fly_orm.check(timeout=wrong)


def test_what_is_no_database_is_refused():
    with pytest.raises(fly_orm.ConfigurationError):
        fly_orm.check(object())


def pony_database(params):
    database = orm.Database()
    database.bind("postgres", **params)
    return database


@pytest.mark.parametrize(
    "made",
    [
        lambda params: peewee.PostgresqlDatabase(**params),
        lambda params: peewee.SqliteDatabase(":memory:"),
        pony_database,
        lambda params: orm.Database(),
    ],
    ids=["peewee", "peewee, not Postgres", "pony", "pony, unbound"],
)
@pytest.mark.parametrize("region", ["lax", "syd", None])
def test_a_database_that_nobody_has_wrapped_is_an_error_and_stays_as_it_is(regions, made, region):
    fly_orm.configure(settings(region) if region else fly_orm.Settings())
    database = made(named(regions.cluster.replica, regions.name))
    before = dict(vars(database))
    with pytest.raises(fly_orm.ConfigurationError, match=r"is not wrapped: where it is made, call|SqliteDatabase is"):
        checked(database)
    assert vars(database) == before


def test_a_proxy_is_as_little_wrapped_as_the_database_that_it_stands_for(regions):
    proxy = peewee.DatabaseProxy()
    with pytest.raises(fly_orm.ConfigurationError, match=r"has no database yet; call its initialize\(\) first"):
        checked(proxy)
    proxy.initialize(regions.unwrapped(regions.cluster.replica))
    with pytest.raises(fly_orm.ConfigurationError, match="this PostgresqlDatabase is not wrapped"):
        checked(proxy)
    fly_orm.wrap(proxy, settings=regions.lax_settings())
    assert checked(proxy).ready


@pytest.mark.parametrize("thing", [peewee.Model, orm.Database().Entity], ids=["peewee", "pony"])
def test_what_is_no_database_is_an_error(thing):
    with pytest.raises(fly_orm.ConfigurationError, match=r"wrap\(\) takes a (peewee database|Pony Database), not"):
        fly_orm.check(thing)
