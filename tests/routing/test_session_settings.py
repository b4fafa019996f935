"""The settings that a caller's session takes along to the primary."""

from __future__ import annotations

import pytest


def setting(db, name):
    """The setting as the primary's session for this caller has it."""
    with db.atomic():
        return db.execute_sql("SELECT current_setting(%s, true)", (name,)).fetchone()[0]


@pytest.mark.parametrize("name", ["'app.tenant'", "%s"])
def test_one_that_changes_with_every_request_is_remembered_once(regions, name):
    db = regions.lax()
    for tenant in range(20):
        parameters = (str(tenant),) if name != "%s" else ("app.tenant", str(tenant))
        db.execute_sql(f"SELECT set_config({name}, %s, false)", parameters)
        assert setting(db, "app.tenant") == str(tenant)
    assert db.connection().remote.session_settings.names == {"app.tenant"}


def test_several_can_be_set_together(regions):
    db = regions.lax()
    for number in range(5):
        db.execute_sql("SELECT set_config('app.a', %s, false), set_config('app.b', 'x', false)", (str(number),))
        assert (setting(db, "app.a"), setting(db, "app.b")) == (str(number), "x")


def test_reset_all_forgets_settings_but_not_the_role(regions):
    regions.query("CREATE ROLE clerk")
    try:
        regions.cluster.wait_for_replica()
        db = regions.lax()
        db.execute_sql("SET ROLE clerk")
        db.execute_sql("SET app.tenant = 'one'")
        db.execute_sql("RESET ALL")
        assert setting(db, "role") == "clerk"
        assert not setting(db, "app.tenant")
        db.execute_sql("DISCARD ALL")
        assert setting(db, "role") == "none"
    finally:
        regions.query("DROP ROLE clerk")


@pytest.mark.parametrize("sql", ["SET extra_float_digits = -3", "SET bytea_output = 'escape'", "SET xmlbinary = 'hex'"])
def test_one_of_a_session_is_not_taken_for_the_servers(regions, sql):
    db, name = regions.lax(), sql.split()[1]
    before = regions.query(f"SHOW {name}")
    db.execute_sql(sql)
    assert setting(db, name) != before
    db.close()
    assert setting(db, name) == before


def test_no_more_than_fifty_notices_are_kept(regions):
    db = regions.lax()
    for _ in range(60):
        db.execute_sql("DROP TABLE IF EXISTS nothing")
    assert len(db.connection().notices) == 50


def test_a_transaction_that_set_something_can_end_within_a_longer_string(regions):
    db = regions.lax()
    db.execute_sql("BEGIN")
    db.execute_sql("SET app.tenant = 'one'")
    db.execute_sql("COMMIT; SELECT 1")
    assert db.execute_sql("SELECT current_setting('app.tenant')").fetchone() == ("one",)
    assert setting(db, "app.tenant") == "one"
    db.execute_sql("BEGIN")
    db.execute_sql("CREATE TABLE t ()")
    db.execute_sql("COMMIT; SELECT 1")
    assert regions.query("SELECT count(*) FROM t") == 0


def test_one_that_the_server_reports_is_sent_once(regions):
    db = regions.lax()
    db.execute_sql("SELECT set_config('TimeZone', 'Asia/Tokyo', false), set_config('app.tenant', 'a', false)")
    assert setting(db, "TimeZone") == "Asia/Tokyo"
    connection = db.connection()
    assignments, changes = connection.remote.session_settings.profile(connection, {})
    assert b"SET TimeZone TO 'Asia/Tokyo'" in assignments
    assert b"app.tenant" in changes
    assert b"timezone" not in changes.lower()
