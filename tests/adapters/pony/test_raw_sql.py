"""SQL that is written by hand in a db_session in lax, and the settings that it changes."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from pony import orm

from tests.support.pony_regions import LOCAL, PRIMARY, names, route, row, stale
from tests.support.two_regions import TwoRegions, named

pytestmark = pytest.mark.over_every_transport


def test_select_get_and_exists_are_local(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        assert here.db.select("n FROM thing") == [1]
        assert here.db.get("n FROM thing WHERE name = 'first'") == 1
        assert not here.db.exists("SELECT 1 FROM thing WHERE n = 100")
        assert route() is LOCAL


def test_what_is_executed_runs_in_the_transaction_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with orm.db_session:
        here.db.execute("UPDATE thing SET n = n + 1")
        assert route() is PRIMARY
        here.Thing(name="second")
        assert here.db.execute("SELECT count(*), max(n) FROM thing").fetchone() == (2, 2)
        assert route() is PRIMARY
        assert regions.query("SELECT max(n) FROM thing") == 1
    assert regions.query("SELECT max(n) FROM thing") == 2


def test_settings_of_functions_are_what_they_are_on_one_server(regions: TwoRegions, here: SimpleNamespace) -> None:
    regions.query(
        "CREATE FUNCTION set_tenant(text) RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM set_config('app.tenant', $1, false); END$$"
    )
    regions.cluster.wait_for_replica()
    plain = orm.Database()
    plain.bind("postgres", **named(regions.cluster.primary, regions.name))
    seen: list[list[object]] = []
    for db in (here.db, plain):
        seen.append([])
        for options in ({}, {"immediate": True}, {"optimistic": False}, {"serializable": True}, {}):
            with orm.db_session(**options):
                for end in (orm.rollback, orm.commit, orm.rollback):
                    db.select("set_tenant('a')")
                    db.select("name FROM thing")
                    end()
                    seen[-1] += db.select("nullif(current_setting('app.tenant', true), '')")
                    db.execute("UPDATE thing SET n = n")
                    seen[-1] += db.select("nullif(current_setting('app.tenant', true), '')")
    plain.disconnect()
    assert seen[0] == seen[1]


def test_a_select_that_is_executed_sees_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        assert here.db.execute("SELECT n FROM thing").fetchone() == (100,)
        assert route() is PRIMARY


def test_a_select_that_is_executed_after_a_commit_in_the_middle_sees_the_primary(here: SimpleNamespace) -> None:
    with orm.db_session:
        here.Thing(name="second")
        orm.commit()
        assert here.db.select("count(*) FROM thing") == [2]
        assert route() is LOCAL
        here.db.execute("SELECT n FROM thing")
        assert route() is PRIMARY


def test_a_connection_that_is_asked_for_is_in_a_transaction_on_the_primary(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with stale(regions, "UPDATE thing SET n = 100"), orm.db_session:
        cursor = here.db.get_connection().cursor()
        cursor.execute("SELECT n FROM thing")
        assert (cursor.fetchone(), route()) == ((100,), PRIMARY)


def test_what_a_connection_that_is_asked_for_writes_is_committed_with_the_session(
    regions: TwoRegions, here: SimpleNamespace
) -> None:
    with orm.db_session:
        here.db.get_connection().cursor().execute(row("raw"))
        here.Thing(name="second")
        orm.flush()
        assert names(regions) == ["first"]
    assert names(regions) == ["first", "raw", "second"]
    with pytest.raises(ZeroDivisionError), orm.db_session:
        here.db.get_connection().cursor().execute(row("never"))
        raise ZeroDivisionError
    assert names(regions) == ["first", "raw", "second"]


def test_a_lock_of_the_transaction_is_taken_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    locked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
    with orm.db_session:
        here.db.execute("SELECT pg_advisory_xact_lock(4711)")
        assert (route(), regions.query(locked)) == (PRIMARY, 1)
        here.Thing(name="second")
        orm.flush()
        assert regions.query(locked) == 1
    assert regions.query(locked) == 0


def test_a_function_that_writes_runs_on_the_primary(regions: TwoRegions, here: SimpleNamespace) -> None:
    regions.query(f"CREATE FUNCTION add() RETURNS int LANGUAGE sql AS $${row('made')}$$")
    regions.cluster.wait_for_replica()
    with orm.db_session:
        assert here.db.select("add()") == [2]
        assert route() is PRIMARY
        assert here.Thing.get(name="made").id == 2
        assert route() is LOCAL
    assert names(regions) == ["first", "made"]


def test_an_insert_returns_what_it_is_asked_for(here: SimpleNamespace) -> None:
    with orm.db_session:
        assert here.db.insert("owner", name="a", returning="id") == 1
        assert here.db.insert("owner", name="b", returning="name") == "b"
        assert here.db.insert(here.Owner, name="c") == 0
        assert route() is PRIMARY
    with orm.db_session:
        assert sorted(o.name for o in here.Owner.select()) == ["a", "b", "c"]


def test_rows_outlive_their_commit(here: SimpleNamespace) -> None:
    with orm.db_session:
        read = here.db.execute("SELECT n FROM generate_series(1, 3) n")
        written = here.db.execute("UPDATE thing SET n = 2 RETURNING name, n")
        orm.commit()
        assert written.description[0][0] == "name"
        assert (written.rowcount, written.fetchall()) == (1, [("first", 2)])
        assert read.fetchall() == [(1,), (2,), (3,)]
    assert read.rowcount == 3


def test_values_and_errors_are_those_of_plain_pony(regions: TwoRegions, here: SimpleNamespace) -> None:
    for executed in ("SELECT 1 / (n - n) FROM thing", "UPDATE thing SET n = 1 / (n - n)", "SELECT nothing"):
        raised = []
        for database in (here.db, orm.Database("postgres", **named(regions.cluster.primary, regions.name))):
            with pytest.raises(orm.dbapiprovider.DBException) as caught, orm.db_session:
                database.execute(executed)
            raised.append((type(caught.value), str(caught.value), caught.value.original_exc.pgcode))
        database.disconnect()
        assert raised[0] == raised[1]


def test_statements_are_shown_to_who_debugs(here: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pony.orm"), orm.db_session(sql_debug=True, show_values=True):
        assert here.Thing.get(name="first").n == 1
        here.Owner(name="shown")
    shown = caplog.text
    assert 'INSERT INTO "owner" ("name") VALUES (%(p1)s) RETURNING "id"' in shown
    assert "{'p1':'shown'}" in shown
    assert "SWITCH FROM AUTOCOMMIT TO TRANSACTION MODE" in shown
    assert "COMMIT" in shown
    assert "RELEASE CONNECTION" in shown
    assert here.db.last_sql.startswith("INSERT")


def test_a_setting_holds_in_both_regions_until_the_session_ends(here: SimpleNamespace) -> None:
    read = "current_setting('app.tenant', true)"
    with orm.db_session:
        here.db.execute("SET app.tenant = 'one'")
        assert here.db.select(read) == ["one"]
        here.Thing(name="second")
        orm.flush()
        assert (here.db.select(read), route()) == (["one"], PRIMARY)
        orm.commit()
        assert (here.db.select(read), route()) == (["one"], LOCAL)
    with orm.db_session:
        assert here.db.select(read)[0] in (None, "")
        here.Thing(name="third")
        orm.flush()
        assert (here.db.select(read)[0] in (None, ""), route()) == (True, PRIMARY)


def test_a_setting_that_is_made_in_the_transaction_holds_after_its_commit(here: SimpleNamespace) -> None:
    read = "current_setting('app.tenant', true)"
    with orm.db_session:
        here.Thing(name="second")
        orm.flush()
        here.db.execute("SELECT set_config('app.tenant', 'two', false)")
        orm.commit()
        assert (here.db.select(read), route()) == (["two"], LOCAL)
    with orm.db_session:
        assert here.db.select(read)[0] in (None, "")


def test_a_setting_decides_which_rows_are_seen_in_both_regions(regions: TwoRegions, here: SimpleNamespace) -> None:
    """As with row-level security, where a role and a setting say whose rows they are."""
    regions.query(
        "INSERT INTO owner (name) VALUES ('one'), ('two'); ALTER TABLE owner ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON owner USING (name = current_setting('app.tenant', true));"
        f"CREATE ROLE tenant_{regions.name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant_{regions.name};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenant_{regions.name}"
    )
    regions.cluster.wait_for_replica()
    try:
        with orm.db_session:
            here.db.execute(f"SET ROLE tenant_{regions.name}")
            here.db.execute("SELECT set_config('app.tenant', 'two', false)")
            seen = [([o.name for o in here.Owner.select()], route())]
            here.Thing(name="second")
            orm.commit()
            seen.append((here.db.select("name FROM owner"), route()))
            here.Thing(name="third")
            orm.flush()
            seen.append((here.db.select("name FROM owner"), route()))
        assert [rows for rows, _ in seen] == [["two"]] * 3
        assert [where for _, where in seen[1:]] == [LOCAL, PRIMARY]
        with orm.db_session:
            assert orm.count(o for o in here.Owner) == 2
    finally:
        regions.query(f"DROP OWNED BY tenant_{regions.name}; DROP ROLE tenant_{regions.name}")
