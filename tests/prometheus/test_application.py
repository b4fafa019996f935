"""The metrics of an application, in one process, in a registry of its own."""

from __future__ import annotations

import peewee
import pytest
from prometheus_client import CollectorRegistry, Counter

import fly_orm
import fly_orm.prometheus
from fly_orm import ConfigurationError
from fly_orm.prometheus import lag
from fly_orm.prometheus.definitions import DEFINITIONS
from fly_orm.wrapping import router_of
from tests.support.processes import stopped
from tests.support.scraping import Scrape
from tests.support.waiting import until


@pytest.fixture
def metrics():
    """Those of this process, in a registry of the test's."""
    return fly_orm.prometheus.instrument(CollectorRegistry())


@pytest.fixture
def lax(regions):
    """A database of the application in lax, with a table."""
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def read(metrics):
    """What a scrape shows now."""
    return Scrape(metrics.text())


def test_each_statement_is_timed_by_where_it_ran_and_what_it_is(metrics, regions, lax):
    for number in range(3):
        lax.execute_sql("INSERT INTO item (name) VALUES (%s)", (f"item {number}",))
    for _ in range(5):
        lax.execute_sql("SELECT name FROM item").fetchall()
    shown, name = read(metrics), regions.name
    count = "fly_orm_statement_seconds_count"
    assert shown.value(count, database=name, route="primary", kind="write") == 3
    assert shown.value(count, database=name, route="local", kind="read") == 5
    assert shown.value(count) == 8
    assert 0 < shown.value("fly_orm_statement_seconds_sum", route="local") < 60


def test_errors_are_counted_by_their_class(metrics, regions, lax):
    lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
    for _ in range(2):
        with pytest.raises(peewee.IntegrityError):
            lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
    assert read(metrics).value("fly_orm_statement_errors_total", database=regions.name, error="UniqueViolation") == 2


def test_what_alerts_are_about_is_counted_from_0_on(metrics, regions, lax):
    """``increase()`` does not see the first of what begins with 1."""
    lax.execute_sql("SELECT 1")
    regions.serving.close()
    errors = "fly_orm_statement_errors_total"
    assert read(metrics).value(errors, database=regions.name, error="NotDelivered") == 0
    assert read(metrics).value(errors, database=regions.name, error="AuthenticationFailed") == 0
    assert read(metrics).value("fly_orm_node_failed_proofs_total", reason="secret") == 0
    with pytest.raises(peewee.OperationalError):
        lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
    assert read(metrics).value(errors, database=regions.name, error="NotDelivered") == 1


def test_no_text_and_no_address_is_a_label(metrics, regions, lax):
    lax.execute_sql("INSERT INTO item (name) VALUES ('gustav')")
    lax.execute_sql("SELECT name FROM item WHERE name = 'gustav'").fetchall()
    text = metrics.text()
    assert "item" not in text
    assert "gustav" not in text
    assert regions.wan.address not in text


def test_a_replica_that_was_late_is_not_once_it_has_caught_up_even_if_nobody_waits(metrics, regions):
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
    late, lax = "fly_orm_replica_late", regions.lax(options={"replication_timeout": 0.1})
    with regions.cluster.replay_paused():
        lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
        until(lambda: read(metrics).value(late, database=regions.name) == 1)
    until(lambda: read(metrics).value(late, database=regions.name) == 0)


def test_the_lag_of_the_replica_is_shown(metrics, regions, lax):
    name = regions.name
    lax.execute_sql("SELECT 1")
    until(lambda: read(metrics).value("fly_orm_replica_lag_bytes", database=name) == 0)
    until(lambda: read(metrics).value("fly_orm_replica_lag_seconds", database=name) == 0)
    assert read(metrics).value("fly_orm_replica_receiving", database=name) == 1
    assert read(metrics).value("fly_orm_replica_late", database=name) == 0
    with regions.cluster.replay_paused():
        regions.query("INSERT INTO item (name) SELECT n::text FROM generate_series(1, 1000) AS n")
        until(lambda: read(metrics).value("fly_orm_replica_lag_bytes", database=name) > 10_000)
        assert read(metrics).value("fly_orm_replica_lag_seconds", database=name) > 0


def test_a_replica_that_hangs_is_asked_once_and_has_no_lag(metrics, regions, lax, monkeypatch):
    lax.execute_sql("SELECT 1")
    asked = []

    class Question(lag._Question):
        def __init__(self, router):
            asked.append(router)
            super().__init__(router)

    monkeypatch.setattr(lag, "_Question", Question)
    monkeypatch.setattr(lag, "ANSWER_TIMEOUT", 0.1)
    with stopped(regions.cluster.replica.pid):
        for _ in range(3):
            shown = read(metrics)
            assert shown.value("fly_orm_replica_lag_bytes", database=regions.name) is None
            assert shown.value("fly_orm_replica_late", database=regions.name) == 0
    assert asked.count(router_of(lax)) == 1


def test_a_replica_that_is_down_is_shown(metrics, regions, lax):
    up, name, replica = "fly_orm_replica_up", regions.name, regions.cluster.replica
    lax.execute_sql("SELECT 1")
    lax.close()
    until(lambda: read(metrics).value(up, database=name) == 1)
    replica.stop("immediate")
    until(lambda: read(metrics).value(up, database=name) == 0)
    replica.start()
    until(lambda: read(metrics).value(up, database=name) == 1)


def test_a_replica_whose_place_another_host_takes_is_down(metrics, regions, lax):
    up, name, replica = "fly_orm_replica_up", regions.name, regions.cluster.replica
    hosts = {"host": f"{replica.host},{replica.host}", "port": f"{replica.port},{regions.cluster.primary.port}"}
    both = regions.lax(**hosts, target_session_attrs="any")
    both.execute_sql("SELECT 1")
    both.close()
    replica.stop("immediate")
    both.execute_sql("SELECT 1")
    assert fly_orm.why().route is fly_orm.Route.PRIMARY
    until(lambda: read(metrics).value(up, database=name) == 0)


def test_the_primary_has_no_lag(metrics, regions):
    regions.syd().execute_sql("SELECT 1")
    assert read(metrics).value("fly_orm_replica_late", database=regions.name) is None
    assert read(metrics).value("fly_orm_replica_up", database=regions.name) is None


def test_the_metrics_are_in_one_registry():
    registry = CollectorRegistry()
    metrics = fly_orm.prometheus.instrument(registry)
    assert fly_orm.prometheus.instrument(registry) is metrics
    with pytest.raises(ConfigurationError, match="in another registry already"):
        fly_orm.prometheus.instrument(CollectorRegistry())
    metrics.end()
    metrics.end()
    assert list(registry.collect()) == []
    assert fly_orm.prometheus.instrument(registry) is not metrics


def test_a_metric_of_the_applications_is_not_replaced():
    registry = CollectorRegistry()
    Counter("fly_orm_fallbacks", "The application's own.", registry=registry)
    with pytest.raises(ConfigurationError, match="fly_orm_fallbacks"):
        fly_orm.prometheus.instrument(registry)
    assert [family.name for family in registry.collect()] == ["fly_orm_fallbacks"]
    with pytest.raises(ConfigurationError, match="fly_orm_fallbacks"):  # as nothing was kept of the first attempt
        fly_orm.prometheus.instrument(registry)


def test_names_follow_the_conventions_of_prometheus():
    for each in DEFINITIONS:
        assert each.name.startswith("fly_orm_")
        assert each.name.endswith("_total") == (each.type == "counter"), each.name
        assert each.type != "histogram" or each.name.endswith("_seconds"), each.name
    assert len({each.name for each in DEFINITIONS}) == len(DEFINITIONS)


def test_requests_waits_and_channels_are_counted(metrics, regions, lax):
    for number in range(3):
        lax.execute_sql("INSERT INTO item (name) VALUES (%s)", (f"item {number}",))
    shown, name = read(metrics), regions.name
    assert shown.value("fly_orm_rpc_seconds_count", node_region="syd", kind="run") == 3
    assert shown.value("fly_orm_replica_wait_seconds_count", database=name) == 3
    assert shown.value("fly_orm_replica_waits_late_total", database=name) == 0
    assert shown.value("fly_orm_unknown_outcomes_total", database=name) == 0
    assert shown.value("fly_orm_channels_opened_total", node_region="syd") >= 1
    assert shown.value("fly_orm_channels", node_region="syd") >= 1
    assert shown.value("fly_orm_node_request_seconds_count", kind="run") == 3  # the node is in this process, too
    assert shown.value("fly_orm_node_connection_wait_seconds_count", database=name) == 3


def test_a_late_replica_is_counted_and_sends_reads_to_the_primary(metrics, regions):
    regions.query("CREATE TABLE item (name text)")
    regions.cluster.wait_for_replica()
    lax, name = regions.lax(options={"settings": regions.lax_settings(replication_timeout=0.1)}), regions.name
    with regions.cluster.replay_paused():
        lax.execute_sql("INSERT INTO item VALUES ('one')")
        assert lax.execute_sql("SELECT name FROM item").fetchall() == [("one",)]
        shown = read(metrics)
    assert shown.value("fly_orm_replica_waits_late_total", database=name) >= 1
    assert shown.value("fly_orm_replica_late", database=name) == 1
    assert shown.value("fly_orm_fallbacks_total", database=name, reason="late") == 1
    assert shown.value("fly_orm_statement_seconds_count", database=name, route="primary", kind="read") == 1


def test_an_unknown_outcome_is_counted(metrics, regions, lax):
    lax.execute_sql("INSERT INTO item (name) VALUES ('one')")
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.OutcomeUnknown):
        lax.execute_sql("INSERT INTO item (name) VALUES ('two')")
    assert read(metrics).value("fly_orm_unknown_outcomes_total", database=regions.name) == 1
