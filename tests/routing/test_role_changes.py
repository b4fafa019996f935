"""Statements change to the roles that the caller may take, although the node's session may take others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import peewee
import psycopg2
import pytest
from psycopg2 import errors

from tests.support.roles import Cast
from tests.support.statement_log import logged

SETUP = """
    CREATE TABLE log (what text, who name DEFAULT current_user);
    CREATE TABLE "user" (role text);
    INSERT INTO "user" VALUES ('guest');
    CREATE TABLE secret AS SELECT 1 AS s;
    GRANT ALL ON log, "user" TO PUBLIC;
    GRANT ALL ON secret TO "{node}";
    CREATE FUNCTION become(name) RETURNS void LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO log VALUES ('before'); EXECUTE format('SET ROLE %I', $1); DELETE FROM doc;
    END$$;
    CREATE FUNCTION become_user(name) RETURNS void LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO log VALUES ('before'); EXECUTE format('SET SESSION AUTHORIZATION %I', $1); DELETE FROM doc;
    END$$;
    CREATE FUNCTION leave() RETURNS void LANGUAGE plpgsql AS 'BEGIN RESET ROLE; END';
    CREATE PROCEDURE call_become(name) LANGUAGE plpgsql AS 'BEGIN PERFORM become($1); END';
    CREATE PROCEDURE commits(text) LANGUAGE plpgsql AS
        $$BEGIN EXECUTE format('INSERT INTO %I VALUES (1)', $1); COMMIT; INSERT INTO log VALUES ('2'); END$$;
"""
WRITE = "INSERT INTO log VALUES ('first')"
#: Each line is a statement of ann's, who is no member of bob; ¶ is a line break within one.
SCENARIOS = {
    "SET ROLE in a transaction": f"BEGIN\n{WRITE}\nSET ROLE {{bob}}\nDELETE FROM doc\nCOMMIT",
    "SET LOCAL ROLE": f"BEGIN\n{WRITE}\nSET LOCAL ROLE '{{bob}}'\nDELETE FROM doc\nCOMMIT",
    "set_config": f"BEGIN\n{WRITE}\nSELECT set_config('role', '{{bob}}', true)\nDELETE FROM doc\nCOMMIT",
    "set_config in a write": "INSERT INTO log SELECT set_config('role', '{bob}', false)\nDELETE FROM doc",
    "in several statements": f"{WRITE}; SET ROLE {{bob}}; DELETE FROM doc\nDELETE FROM doc",
    "in a savepoint": f"BEGIN\n{WRITE}\nSAVEPOINT a\nSET ROLE {{bob}}\nROLLBACK TO a\n{WRITE}\nCOMMIT",
    "SET SESSION AUTHORIZATION": f"BEGIN\n{WRITE}\nSET SESSION AUTHORIZATION {{bob}}\nDELETE FROM doc\nCOMMIT",
    "to the node's": f"BEGIN\n{WRITE}\nSET SESSION AUTHORIZATION {{node}}\nDELETE FROM secret\nCOMMIT",
    "to nobody": f"BEGIN\n{WRITE}\nSET ROLE nobody_there\nCOMMIT",
    "to nobody's user": f"BEGIN\n{WRITE}\nSET SESSION AUTHORIZATION nobody_there\nCOMMIT",
    "in a function": "SELECT become('{bob}')\nSELECT current_user\nDELETE FROM doc",
    "in a function of a write": "INSERT INTO log SELECT 'x' FROM become('{bob}')\nDELETE FROM doc",
    "in a procedure": "CALL call_become('{bob}')\nDELETE FROM doc",
    "in a function in a transaction": f"BEGIN\n{WRITE}\nSELECT become('{{bob}}')\nDELETE FROM doc\nCOMMIT",
    "by a cursor": "BEGIN\nDECLARE c CURSOR FOR SELECT become('{bob}')\nFETCH c\nDELETE FROM doc\nCOMMIT",
    "by a cursor outside a transaction": "DECLARE c CURSOR FOR SELECT become('{bob}')",
    "user in a function": "SELECT become_user('{bob}')\nDELETE FROM doc",
    "to a superuser in a function": "SELECT become_user('postgres')\nDELETE FROM secret",
    "in DO": "DO $$BEGIN INSERT INTO log VALUES ('1'); SET ROLE {bob}; DELETE FROM doc; END$$\nDELETE FROM doc",
    "executed in DO": "DO $$BEGIN EXECUTE 'SET ROLE {bob}'; DELETE FROM doc; END$$\nDELETE FROM doc",
    "put together in DO": "DO $$BEGIN EXECUTE 'SET R' || 'OLE {bob}'; DELETE FROM doc; END$$\nDELETE FROM doc",
    "beside a backslash": "SET ROLE {bob}; DELETE FROM doc; SELECT 'x\\'\nDELETE FROM doc",
    "in a function beside a backslash": f"BEGIN\n{WRITE}\nSELECT become('{{bob}}'), '\\'\nDELETE FROM doc\nCOMMIT",
    "in text that is executed": (
        f"BEGIN\n{WRITE}\nSELECT word FROM ts_stat('SELECT to_tsvector(set_config(''role'', ''{{bob}}'', false))')\n"
        "DELETE FROM doc\nCOMMIT"
    ),
    "on two lines": f"BEGIN\n{WRITE}\nSET ROLE '{{bob}}'¶''\nDELETE FROM doc\nCOMMIT",
    "by a name with escapes": f"BEGIN\n{WRITE}\nSET ROLE U&'{{bob}}'\nDELETE FROM doc\nCOMMIT",
    "after a literal on two lines": "SELECT E'x'¶'\\''; SET ROLE {bob}; DELETE FROM doc -- '\nDELETE FROM doc",
    "prepared": "PREPARE p AS SELECT set_config($1, '{bob}', false)\nEXECUTE p('role')\nDELETE FROM doc",
    "prepared in a transaction": (
        "BEGIN\nPREPARE p AS SELECT set_config($1, '{bob}', false)\nEXECUTE p('role')\nDELETE FROM doc\nCOMMIT"
    ),
    "unterminated": "SELECT become('{bob}'), 'x\nDELETE FROM doc",
    "after an escape": "SET standard_conforming_strings TO off\nSELECT '\\''; SET ROLE {bob}; DELETE FROM doc -- '",
    "its own": "BEGIN\nSET ROLE {ann}\nDELETE FROM doc\nCOMMIT",
    "its own in DO": "DO $$BEGIN SET ROLE {ann}; DELETE FROM doc; RESET ROLE; END$$\nSELECT current_user",
    "reset in a function": f"BEGIN\n{WRITE}\nSELECT leave()\nSELECT current_user\nDELETE FROM doc\nCOMMIT",
    "reset at the end": f"SET ROLE {{ann}}; DELETE FROM doc; RESET ROLE\n{WRITE}",
    "a column": f"UPDATE \"user\" SET role = 'admin'\nBEGIN\nUPDATE \"user\" SET role = 'x'; {WRITE}\nCOMMIT",
    "a procedure that commits": "CALL commits('log')\nSELECT current_user",
    "a transaction in a string": f"BEGIN; {WRITE}; SELECT leave(); COMMIT\nBEGIN; SELECT leave()\n{WRITE}\nROLLBACK",
}
#: Each line is a statement of ann's, who is a member of bob.
AS_A_MEMBER = {
    "reset for a transaction": "BEGIN\nSET ROLE {bob}\nSET LOCAL ROLE NONE\nCOMMIT\nDELETE FROM doc",
    "reset by set_config": "BEGIN\nSET ROLE {bob}\nSELECT set_config('role', 'none', true)\nCOMMIT\nDELETE FROM doc",
    "in several statements": "SET ROLE {bob}; DELETE FROM doc\nSELECT current_user",
    "in a function": "SELECT become('{bob}')",
    "in a transaction": "BEGIN\nSELECT become('{bob}')\nDELETE FROM doc\nRESET ROLE\nDELETE FROM doc\nCOMMIT",
    "in DO": "DO $$BEGIN SET LOCAL ROLE {bob}; DELETE FROM doc; RESET ROLE; END$$\nSELECT current_user",
}


@pytest.fixture
def cast(cluster: Any, database: str) -> Iterator[Cast]:
    with ExitStack() as undo:
        cast = Cast(cluster, database, undo)
        cast.sql(SETUP.format(node=cast.node))
        cast.sql(f'GRANT "{cast.ann}", "{cast.bob}" TO "{cast.node}"')
        yield cast


@pytest.fixture(params=["superuser", "member"])
def regions(request: pytest.FixtureRequest, cast: Cast) -> Any:
    """The node's own role is a superuser, or a member of the callers'."""
    return cast.regions() if request.param == "superuser" else cast.regions(user=cast.node)


def trace(cast: Cast, database: Any, statements: str) -> list[Any]:
    """What ann sees of the statements, and what the tables hold then."""
    cast.sql(
        f"TRUNCATE doc, log, secret; INSERT INTO secret VALUES (1);"
        f"INSERT INTO doc (tenant, body) VALUES ('{cast.ann}', '1'), ('{cast.bob}', '2')"
    )
    seen: list[Any] = []
    cursor = database.connection().cursor()
    for sql in statements.format(ann=cast.ann, bob=cast.bob, node=cast.node).splitlines():
        try:
            cursor.execute(sql.replace("¶", "\n"))
            seen.append((sql, cursor.statusmessage, cursor.rowcount, cursor.fetchall() if cursor.description else None))
        except psycopg2.Error as error:
            seen.append((sql, type(error).__name__, error.pgcode, error.diag.message_primary, error.diag.severity))
    database.close()
    return [*seen, cast.sql("SELECT what, who FROM log"), cast.sql("SELECT tenant FROM doc"), cast.sql("TABLE secret")]


def test_statements_that_cannot_be_told_apart_are_declined(cast: Cast, regions: Any) -> None:
    db = regions.lax(user=cast.ann)
    with pytest.raises(peewee.ProgrammingError, match="cannot check changes of the role"):
        db.execute_sql(f"SET ROLE {cast.ann}; SELECT 'x")


@pytest.mark.slow
class TestIsTheSameInLax:
    def test_for_a_role_that_the_caller_may_not_take(self, cast: Cast, regions: Any) -> None:
        for name, statements in SCENARIOS.items():
            unwrapped = trace(cast, regions.plain(user=cast.ann), statements)
            assert (name, trace(cast, regions.lax(user=cast.ann), statements)) == (name, unwrapped)

    def test_for_a_role_that_the_caller_may_take(self, cast: Cast, regions: Any) -> None:
        cast.sql(f'GRANT "{cast.bob}" TO "{cast.ann}"')
        for name, statements in AS_A_MEMBER.items():
            unwrapped = trace(cast, regions.plain(user=cast.ann), statements)
            assert (name, trace(cast, regions.lax(user=cast.ann), statements)) == (name, unwrapped)


def refused(cast: Cast, regions: Any, sql: str) -> Any:
    """The error of a statement of ann's; nothing has changed then."""
    db = regions.lax(user=cast.ann)
    with pytest.raises(peewee.NotSupportedError, match="the role of the node") as caught:
        db.execute_sql(sql)
    assert cast.sql("SELECT count(*) FROM secret") == [(1,)]
    return caught.value


class TestTheRestOfAStringOrBlock:
    def test_does_not_run_as_the_user_of_the_node(self, cast: Cast, regions: Any) -> None:
        for sql in (
            "SET SESSION AUTHORIZATION DEFAULT; DELETE FROM secret",
            "RESET SESSION AUTHORIZATION; DELETE FROM secret",
            "DO $$BEGIN SET SESSION AUTHORIZATION DEFAULT; DELETE FROM secret; END$$",
            "DO $$BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; DELETE FROM secret; END$$",
        ):
            assert refused(cast, regions, sql).orig.pgcode == "0A000"

    def test_does_not_run_as_the_role_of_the_node(self, cast: Cast) -> None:
        regions = cast.regions(user=cast.node)
        for sql in (
            "RESET ROLE; DELETE FROM secret",
            "SET ROLE NONE; DELETE FROM secret",
            "DO $$BEGIN RESET ROLE; DELETE FROM secret; END$$",
            "DO $$BEGIN PERFORM set_config('role', 'none', true); DELETE FROM secret; END$$",
            "INSERT INTO log SELECT set_config('role', 'none', true)",
        ):
            assert f'SET ROLE "{cast.ann}"' in str(refused(cast, regions, sql))

    def test_fails_a_transaction_that_is_open(self, cast: Cast) -> None:
        db = cast.regions(user=cast.node).lax(user=cast.ann)
        db.execute_sql("BEGIN")
        with pytest.raises(peewee.NotSupportedError):
            db.execute_sql("RESET ROLE; DELETE FROM secret")
        with pytest.raises(peewee.InternalError) as caught:
            db.execute_sql("SELECT 1")
        assert isinstance(caught.value.orig, errors.InFailedSqlTransaction)


def test_a_node_without_privileges_of_its_own_serves_its_callers(cast: Cast) -> None:
    cast.sql(f'ALTER ROLE "{cast.node}" NOINHERIT')
    regions = cast.regions(user=cast.node)
    for role, count in ((cast.ann, 1), (cast.bob, 2)):
        db = regions.lax(user=role)
        with db.atomic():
            assert db.execute_sql("UPDATE doc SET body = 'x'").rowcount == count


def test_an_expression_that_has_another_value_on_the_primary_counts_as_on_the_replica(cast: Cast) -> None:
    regions = cast.regions(user=cast.node)
    db = regions.lax(user=cast.ann)
    role = f"CASE WHEN current_setting('in_hot_standby') = 'on' THEN '{cast.ann}' ELSE '{cast.bob}' END"
    db.execute_sql(f"SELECT set_config('role', {role}, false)")
    db.execute_sql("DELETE FROM doc")
    assert cast.sql("SELECT DISTINCT tenant::text FROM doc") == [(cast.bob,)]


def test_a_statement_that_cannot_change_the_role_costs_nothing_more(cast: Cast) -> None:
    """Nor does a function whose definition shows that it does not."""
    cast.sql("CREATE FUNCTION note(text) RETURNS void LANGUAGE sql AS 'INSERT INTO log VALUES ($1)'")
    regions = cast.regions(user=cast.node)
    db = regions.lax(user=cast.ann)
    db.execute_sql("INSERT INTO log VALUES ('x')")
    sqls = [
        "INSERT INTO log VALUES ('y')",
        "SELECT note('z')",
        "UPDATE \"user\" SET role = 'admin'",
        "INSERT INTO log SELECT 'a' WHERE set_config('app.a', 'b', true) = 'b'",
    ]
    with logged(cast.cluster.primary, cast.database) as statements:
        for sql in sqls:
            db.execute_sql(sql)
        executed = statements()
    for sql in sqls:
        assert executed.count(sql) == 1
    others = [sql for sql in executed if sql.startswith(("BEGIN", "COMMIT", "SELECT pg_catalog.current_setting"))]
    assert others == []
