"""Which changes of the role a text shows."""

import time

import pytest

from fly_orm.classify.role_changes import RoleChange, controls_transactions, may_show_any, role_changes

ROLE, USER = "role", "session_authorization"


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SET ROLE ann", [RoleChange(ROLE, "ann", True)]),
        ("SET LOCAL ROLE 'Ann'", [RoleChange(ROLE, "Ann", True, True)]),
        ('SET SESSION ROLE "A""nn"', [RoleChange(ROLE, 'A"nn', True)]),
        ("/* x */ set Role TO Ann;", [RoleChange(ROLE, "ann", True)]),
        ("RESET ROLE", [RoleChange(ROLE, None, True)]),
        ("SET ROLE NONE", [RoleChange(ROLE, None, True)]),
        ("SET role = DEFAULT", [RoleChange(ROLE, None, True)]),
        ("SET SESSION AUTHORIZATION DEFAULT", [RoleChange(USER, None, True)]),
        ("SET LOCAL SESSION AUTHORIZATION 'default'", [RoleChange(USER, "default", True, True)]),
        ("SET SESSION SESSION AUTHORIZATION ann", [RoleChange(USER, "ann", True)]),
        ("RESET SESSION AUTHORIZATION; SELECT 1", [RoleChange(USER, None, False)]),
        ("SET session_authorization TO ann", [RoleChange(USER, "ann", True)]),
        ("SELECT set_config('role', 'ann', false)", [RoleChange(ROLE, "ann", True)]),
        ("SELECT pg_catalog.set_config('ROLE', 'none', true)", [RoleChange(ROLE, None, True, True)]),
        ("SELECT set_config('role', 'none', true), f()", [RoleChange(ROLE, None, False, True)]),
        ("DELETE FROM t WHERE set_config('role', 'none', true) = ''", [RoleChange(ROLE, None, False, True)]),
        ("DO $$BEGIN RESET ROLE; END$$", [RoleChange(ROLE, None, True)]),
        ("DO $$BEGIN IF a THEN RESET ROLE; END IF; END$$ LANGUAGE plpgsql", [RoleChange(ROLE, None, True)]),
        ("DO $$BEGIN LOOP RESET ROLE; END LOOP; END$$", [RoleChange(ROLE, None, False)]),
        ("DO $$BEGIN RESET ROLE; END$$; SELECT 1", [RoleChange(ROLE, None, False)]),
        ("SELECT 'a', 'b', 'c', 'd'; DO $$BEGIN RESET ROLE; END$$; DROP TABLE t", [RoleChange(ROLE, None, False)]),
        ("DO $$BEGIN RESET ROLE; END$$ LANGUAGE 'plpgsql';", [RoleChange(ROLE, None, True)]),
        ("DO 'BEGIN EXECUTE ''SET ROLE ann''; DELETE FROM t; END'", [RoleChange(ROLE, "ann", False)]),
        (r"SET ROLE ann; SELECT 'x\'", [RoleChange(ROLE, "ann", False)]),
        ("SELECT E'x'\n'\\''; SET ROLE ann; SELECT 1 -- '", [RoleChange(ROLE, "ann", False)]),
        ("DO 'BEGIN SET '\n'ROLE ann; END'", [RoleChange(ROLE, "ann", True)]),
        ("SELECT set_config('ro'\n'le', 'ann', false)", [RoleChange(ROLE, "ann", True)]),
        (r"DO $$BEGIN SET ROLE ann; PERFORM 'x\'; END$$", [RoleChange(ROLE, "ann", False)]),
        ("DO $$BEGIN INSERT INTO t VALUES ('SET ROLE ann'); END$$", []),
        ("DO $$BEGIN RAISE NOTICE 'RESET ROLE'; DELETE FROM t; END$$", []),
        ("DO $$DECLARE a text := 'RESET ROLE'; BEGIN EXECUTE a; END$$", [RoleChange(ROLE, None, False)]),
        ("UPDATE t SET role = 'admin'", []),
        ("DO $$BEGIN UPDATE t SET role = 'admin'; END$$", []),
        ("INSERT INTO t VALUES ('SET ROLE ann')", []),
        ("CREATE ROLE ann; SET app.role TO 'x'", []),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN RESET ROLE; END'", []),
        ("SELECT set_config('app.role', 'x', false)", []),
    ],
)
def test_shows(sql: str, found: list[RoleChange]) -> None:
    changes = role_changes(sql)
    assert may_show_any(sql.encode()) or not found
    assert list(changes.found) == found
    assert not changes.is_unclear


@pytest.mark.parametrize(
    "piece", ["DO 'BEGIN SET ROLE a; END'; ", "SET ROLE a; ", "set_config(", "EXECUTE 'SET ROLE a'; "]
)
def test_time_is_linear(piece: str) -> None:
    start = time.thread_time()
    role_changes(piece * 5_000)
    assert time.thread_time() - start < 3


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT set_config('ro' || 'le', 'ann', false)",
        "SELECT set_config('role', current_setting('app.role'), false)",
        "DO $$BEGIN EXECUTE format('SET ROLE %I', name); END$$",
        "DO $$BEGIN EXECUTE 'SET ROLE ' || name; END$$",
        "DO E'BEGIN RESET ROLE; END'",
        r'SET U&"\0072ole" TO ann',
        "SET ROLE ann; SELECT 'role",
        r"DO U&'BEGIN SET \0052OLE ann; END'",
        r"SET ROLE U&'\0061nn'",
        "SET SESSION AUTHORIZATION U&'ann'; SELECT 1",
        "EXECUTE p('role')",
        "SELECT 1; EXECUTE p",
    ],
)
def test_does_not_show_the_role(sql: str) -> None:
    assert may_show_any(sql.encode())
    assert role_changes(sql).is_unclear


@pytest.mark.parametrize(
    ("sql", "controls"),
    [
        ("BEGIN; SELECT 1", True),
        ("SELECT 1; COMMIT", True),
        ("COMMIT", False),
        ("SELECT 1; SELECT 2", False),
        (r"SELECT 'x\'; END", True),
    ],
)
def test_tells_whether_a_string_begins_or_ends_a_transaction(sql: str, *, controls: bool) -> None:
    assert controls_transactions(sql) is controls


@pytest.mark.parametrize("sql", ["UPDATE t SET role = 'admin'", "INSERT INTO t VALUES ('a role', 'an authorization')"])
def test_an_ordinary_statement_is_not_looked_at(sql: str) -> None:
    assert not may_show_any(sql.encode())
