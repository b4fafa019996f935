"""The session on the replica does not idle away while its connection works on the primary."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fly_orm.routing import idle_session
from tests.support.two_regions import TwoRegions

ON = {"startup": "-c idle_session_timeout=1h"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_session, "INTERVAL", 0.0)


@pytest.fixture
def regions(regions: TwoRegions) -> TwoRegions:
    regions.query("CREATE TABLE t (id serial PRIMARY KEY)")
    regions.cluster.wait_for_replica()
    return regions


def used(regions: TwoRegions, db: Any) -> int:
    """When the session on the replica was used last."""
    with regions.cluster.replica.connect(regions.name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT query_start FROM pg_stat_activity WHERE pid = %s", (db.connection().info.backend_pid,))
        found: int = cursor.fetchone()[0]
        return found


def is_used_by(regions: TwoRegions, db: Any, sql: str) -> bool:
    """Whether a statement that runs on the primary uses it; the settings that the primary needs are known before."""
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    before = used(regions, db)
    db.execute_sql(sql)
    return used(regions, db) != before


@pytest.mark.parametrize("sql", ["INSERT INTO t DEFAULT VALUES", "SELECT pg_advisory_xact_lock(1)"])
def test_it_is_used_by_what_runs_on_the_primary(regions: TwoRegions, sql: str) -> None:
    assert is_used_by(regions, regions.lax(**ON), sql)


def test_it_is_used_in_a_transaction_on_the_primary(regions: TwoRegions) -> None:
    db = regions.lax(**ON)
    with db.atomic():
        assert is_used_by(regions, db, "SELECT 1")


def test_it_is_used_if_the_setting_was_made_later(regions: TwoRegions) -> None:
    db = regions.lax()
    db.execute_sql("SET idle_session_timeout TO '5min'")
    assert is_used_by(regions, db, "INSERT INTO t DEFAULT VALUES")


def test_it_is_used_if_the_server_has_the_setting(regions: TwoRegions) -> None:
    replica = regions.cluster.replica
    replica.query("ALTER SYSTEM SET idle_session_timeout TO '1h'")
    replica.query("SELECT pg_reload_conf()")
    try:
        while replica.query("SHOW idle_session_timeout") != "1h":
            time.sleep(0.01)
        assert is_used_by(regions, regions.lax(), "INSERT INTO t DEFAULT VALUES")
    finally:
        replica.query("ALTER SYSTEM RESET idle_session_timeout")
        replica.query("SELECT pg_reload_conf()")


@pytest.mark.parametrize("value", ["0", "0ms", "0 min"])
def test_it_is_left_alone_if_it_may_idle(regions: TwoRegions, value: str) -> None:
    db = regions.lax(startup=f"-c idle_session_timeout={value.replace(' ', '')}")
    assert not is_used_by(regions, db, "INSERT INTO t DEFAULT VALUES")
    db.execute_sql(f"SET idle_session_timeout TO '{value}'")
    assert not is_used_by(regions, db, "INSERT INTO t DEFAULT VALUES")


def test_writes_go_on_if_it_is_lost(regions: TwoRegions) -> None:
    db = regions.lax(**ON)
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    pid = db.connection().info.backend_pid
    regions.cluster.replica.query(f"SELECT pg_terminate_backend({pid}, 10000)")
    db.execute_sql("INSERT INTO t DEFAULT VALUES")
    assert regions.query("SELECT count(*) FROM t") == 2
