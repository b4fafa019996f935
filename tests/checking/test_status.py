"""The status of nodes: what they do, and how far their replicas are behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fly_orm
from fly_orm.checking.status import ask_status, status_of
from fly_orm.concurrency.timer import Timer
from fly_orm.deadline import Deadline
from fly_orm.findings.nodes import NodeFacts
from fly_orm.lsn import LSN
from fly_orm.position import History
from fly_orm.protocol.inspecting import MOST_CALLS, Described, Inspected, ServedDatabase
from fly_orm.protocol.messages import Welcome
from fly_orm.runtime.runtime import Runtime
from fly_orm.serving.inspecting import Inspector
from fly_orm.settings import Settings
from fly_orm.topology import Node
from tests.support.ports import free_ports
from tests.support.two_regions import AMPLE, settings
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("time_to_tell")


def asked(given):
    return ask_status(Runtime(given), Deadline.after(AMPLE))


@pytest.fixture
def both(regions):
    """The settings of a process that knows a node in each region."""
    replica = regions.on(regions.cluster.replica, options={"settings": regions.lax_settings()})
    with fly_orm.serve(replica, listen="127.0.0.1:0", settings=regions.lax_settings()) as serving:
        nodes = {**regions.lax_settings().nodes, "lax": (Node(region="lax", address=serving.address),)}
        yield settings("lax", nodes=nodes)


def test_nodes_tell_what_their_servers_are_and_how_far_replicas_are_behind(regions, both):
    with regions.cluster.replay_paused():
        regions.query("CREATE TABLE t (a int)")
        syd, lax = asked(both)
    assert (syd.region, syd.problem, syd.version) == ("syd", "", fly_orm.__version__)
    assert syd.round_trip > 0
    assert syd.uptime > 0
    [primary], [replica] = syd.databases, lax.databases
    assert (primary.name, primary.role, primary.lag_bytes) == (regions.name, "primary", None)
    assert (replica.name, replica.role) == (regions.name, "replica")
    assert replica.lag_bytes > 0
    regions.cluster.wait_for_replica()
    until(lambda: asked(both)[1].databases[0].lag_bytes == 0)


def test_a_node_tells_how_many_leases_and_channels_it_has(regions, no_spare_channels):
    database = regions.lax()
    [before] = asked(regions.lax_settings())
    with database.atomic():
        database.execute_sql("CREATE TABLE t (a int)")
        [during] = asked(regions.lax_settings())
        until(lambda: asked(regions.lax_settings())[0].channels == before.channels + 1)
    assert during.databases[0].leases == 1
    assert during.pool_size == 10
    until(lambda: asked(regions.lax_settings())[0].databases[0].leases == 0)


def test_a_node_names_the_functions_that_run_but_not_too_many():
    calls = [f"shop.f{number}" for number in range(2 * MOST_CALLS)]
    inspected = Inspector({}, Timer("test"), Settings()).inspect([], calls, channels=1, draining=False)
    assert inspected.calls == calls[:MOST_CALLS]


def test_a_node_that_does_not_answer_is_listed_with_the_reason(regions):
    down = Node(region="lax", address=f"127.0.0.1:{free_ports(1)[0]}")
    nodes = {**regions.lax_settings().nodes, "lax": (down,)}
    syd, lax = asked(settings("lax", nodes=nodes))
    assert syd.problem == ""
    assert (lax.region, lax.address) == ("lax", down.address)
    assert "refused" in lax.problem


def test_those_who_ask_soon_after_each_other_cost_the_server_one_connection(regions, monkeypatch):
    monkeypatch.setattr("fly_orm.serving.inspecting.MAX_AGE", 60.0)
    [before] = asked(regions.lax_settings())
    allow = f'ALTER DATABASE "{regions.name}" ALLOW_CONNECTIONS'
    regions.cluster.primary.query(f"{allow} false")
    try:
        [after] = asked(regions.lax_settings())
    finally:
        regions.cluster.primary.query(f"{allow} true")
    assert after.databases == before.databases


LINE = History(7, 1)


def facts(region, *, primary, lsn, history=LINE):
    server = Described(primary=primary, run=region, address=f"{region}:5432", history=history)
    served = ServedDatabase(name="shop", server=server, version=180006, lsn=LSN(lsn), replay_age=3.0)
    return NodeFacts(
        node=Node(region=region, address=f"{region}:7654"),
        welcome=Welcome(region=region, databases=["shop"]),
        inspected=Inspected(version="1", driver="2", time=0.0, uptime=1.0, databases=[served]),
    )


@pytest.mark.parametrize(
    ("replica", "lag"),
    [
        (facts("lax", primary=False, lsn=900), (100, 3.0)),
        (facts("lax", primary=False, lsn=1000), (0, 0.0)),
        (facts("lax", primary=False, lsn=1100), (0, 0.0)),
        (facts("lax", primary=False, lsn=900, history=History(7, 2)), (None, None)),
        (facts("lax", primary=False, lsn=900, history=History(8, 1)), (None, None)),
        (facts("lax", primary=False, lsn=900, history=None), (None, None)),
    ],
)
def test_positions_are_compared_on_one_timeline_only(replica, lag):
    _, found = status_of([facts("syd", primary=True, lsn=1000), replica])
    assert (found.databases[0].lag_bytes, found.databases[0].lag_seconds) == lag


def test_without_a_primary_the_lag_is_not_known():
    [found] = status_of([facts("lax", primary=False, lsn=900)])
    assert found.databases[0].lag_bytes is None


def test_a_node_that_tells_nothing_more_is_not_taken_for_one_without_databases():
    [found] = status_of([replace(facts("syd", primary=True, lsn=1), inspected=None)])
    assert found.problem == ""
    assert found.channels is None
