"""What a node shows at /metrics."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest

import fly_orm
from fly_orm.serving import metrics
from fly_orm.topology import Node
from tests.support import shop
from tests.support.ports import free_ports
from tests.support.scraping import asked, scrape
from tests.support.two_regions import close, named, settings, two_regions
from tests.support.waiting import PATIENCE, until

#: Regions whose nodes do not run, and the ports of these.
AWAY = [("akl", free_ports(1)), ("wlg", free_ports(2))]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Gathers the metrics for each scrape anew."""
    monkeypatch.setattr(metrics, "MAX_AGE", 0.0)


@pytest.fixture
def node(regions):
    """The address of the HTTP server of the node in syd."""
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    return regions.serving.serve_http("127.0.0.1:0")


def test_a_node_shows_what_callers_hold(regions, node):
    name, lax = regions.name, regions.lax()
    lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
    with lax.atomic():
        lax.execute_sql("INSERT INTO item (name) VALUES ('two')")
        held = scrape(node)
    assert held.value("fly_orm_node_leases", database=name) == 1
    assert held.value("fly_orm_node_connections", database=name, state="in use") == 1
    assert held.value("fly_orm_node_pool_size", database=name) == 10
    assert held.value("fly_orm_node_waiting", database=name) == 0
    assert held.value("fly_orm_node_draining") == 0
    assert held.value("fly_orm_node_channels") >= 1
    assert held.value("fly_orm_channels", node_region="syd", state="in use") == 1
    until(lambda: scrape(node).value("fly_orm_node_connections", database=name, state="in use") == 0)
    assert scrape(node).value("fly_orm_node_leases", database=name) == 0


def test_nodes_that_cannot_be_reached_are_counted_by_region(regions, node):
    """In regions that no other test has: what other tests have left in this process is counted as well."""
    nodes = {name: tuple(Node(region=name, address=f"127.0.0.1:{port}") for port in ports) for name, ports in AWAY}
    fly_orm.configure(settings("lax", regions.wan.address, nodes=nodes))
    for name, _ in AWAY:
        with pytest.raises(fly_orm.NotDelivered):
            fly_orm.call(name, shop.count)
    aside = scrape(node)
    assert [aside.value("fly_orm_nodes_set_aside", node_region=name) for name, _ in AWAY] == [1, 2]


def test_a_request_that_waits_for_a_connection_is_seen(cluster, database):
    with two_regions(cluster, database, pool_size=1) as regions, ThreadPoolExecutor(1) as other:
        node = regions.serving.serve_http("127.0.0.1:0")
        lax = regions.lax()
        with lax.atomic():
            lax.execute_sql("CREATE TABLE item (name text)")  # holds the only connection
            waits = other.submit(write_and_close, regions.lax())
            until(lambda: scrape(node).value("fly_orm_node_waiting", database=database) == 1)
        waits.result(PATIENCE)
        assert scrape(node).value("fly_orm_node_waiting", database=database) == 0


def write_and_close(db):
    db.execute_sql("INSERT INTO item VALUES ('one')")
    db.close()


def test_without_the_extra_the_page_says_what_to_install(regions, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("prometheus_client", "fly_orm.prometheus"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "fly_orm.serving.node_metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, text = asked(regions.serving.serve_http("127.0.0.1:0"), "/metrics")
    assert (status, text) == (404, "metrics need prometheus-client: pip install 'prometheus-client>=0.20,<1'\n")


def test_the_metrics_are_gathered_once_however_many_clients_ask(regions, node, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_AGE", 600)
    scrape(node)
    regions.lax().execute_sql("INSERT INTO item (name) VALUES ('one')")
    for _ in range(3):
        assert scrape(node).value("fly_orm_statement_seconds_count", route="primary") is None
    monkeypatch.setattr(metrics, "MAX_AGE", 0.0)
    assert scrape(node).value("fly_orm_statement_seconds_count", route="primary") == 1


def test_a_node_next_to_a_replica_shows_its_lag(cluster, database):
    db = fly_orm.wrap(peewee.PostgresqlDatabase(**named(cluster.replica, database)), settings=settings("lax"))
    with fly_orm.serve(db, listen="127.0.0.1:0", settings=settings("lax")) as serving:
        node = serving.serve_http("127.0.0.1:0")
        until(lambda: scrape(node).value("fly_orm_replica_receiving", database=database) == 1)
        assert scrape(node).value("fly_orm_replica_lag_bytes", database=database) is not None
    close(db)
