"""Settings follow from one Postgres session to the other by the values that they have, however they got them."""

import pytest

from tests.routing.test_session_functions import SETUP
from tests.support.side_by_side import SideBySide

TENANT = "SET app.tenant TO 'a'\n"
READ = (
    "SELECT current_user::text, session_user::text, current_setting('app.tenant', true), "
    "current_setting('app.other', true), current_setting('search_path'), current_setting('role'), count(*) FROM doc"
)
WRITE = (
    "INSERT INTO doc (tenant, body) VALUES (coalesce(nullif(current_setting('app.tenant', true), ''), 'none'), 'x') "
    "RETURNING current_user::text, session_user::text, tenant, current_setting('app.tenant', true), "
    "current_setting('app.other', true), current_setting('search_path'), current_setting('role')"
)
ROWS = ", ".join(["('c', 'some (text) of a row')"] * 400)
#: Each line is a statement.
SCENARIOS = {
    # A transaction on the replica
    "rolled back to a savepoint": "BEGIN READ ONLY\nSAVEPOINT s\nSET app.tenant TO 'b'\nROLLBACK TO s\nCOMMIT",
    "rolled back after an error": """
        BEGIN READ ONLY
        SAVEPOINT s
        SET app.tenant TO 'b'
        SELECT 1/0
        ROLLBACK TO s
        COMMIT
    """,
    "a role rolled back": "SET ROLE tenant_user\nBEGIN READ ONLY\nSAVEPOINT s\nRESET ROLE\nROLLBACK TO s\nCOMMIT",
    "quoted savepoints": """
        BEGIN READ ONLY
        SAVEPOINT s
        SET app.tenant TO 'b'
        SAVEPOINT "S"
        SET ROLE tenant_user
        RELEASE "S"
        ROLLBACK TO s
        SET search_path TO acme, public
        COMMIT
    """,
    "a released savepoint": "BEGIN READ ONLY\nSAVEPOINT s\nSET app.tenant TO 'b'\nRELEASE s\nCOMMIT",
    "rolled back and chained": "BEGIN READ ONLY\nSET app.tenant TO 'b'\nROLLBACK AND CHAIN\nCOMMIT",
    "committed and chained": "BEGIN READ ONLY\nSET app.tenant TO 'b'\nCOMMIT AND CHAIN\nROLLBACK",
    "a failed transaction committed": "BEGIN READ ONLY\nSET app.tenant TO 'b'\nSELECT 1/0\nCOMMIT",
    "several statements": "BEGIN READ ONLY\nSET app.tenant TO 'b'; SELECT 1\nCOMMIT",
    "ended within a string": "BEGIN READ ONLY\nSET app.tenant TO 'b'\nCOMMIT; SELECT 1",
    "explained": """
        BEGIN READ ONLY
        EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT FROM enter('b')
        COMMIT
    """,
    "set_config() explained": """
        BEGIN READ ONLY
        EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT set_config('app.tenant', 'b', false)
        COMMIT
    """,
    "a cursor": "BEGIN READ ONLY\nDECLARE c CURSOR FOR SELECT set_tenant('b')\nFETCH c\nCOMMIT",
    "DO": "BEGIN READ ONLY\nDO $$BEGIN PERFORM set_tenant('b'); END$$\nCOMMIT",
    "CALL": "BEGIN READ ONLY\nCALL use_tenant('b')\nCOMMIT",
    "reset all": "SET search_path TO acme\nBEGIN READ ONLY\nRESET ALL\nCOMMIT",
    # A transaction on the primary
    "on the primary, chained": "BEGIN\nSET app.tenant TO 'b'\nCOMMIT AND CHAIN\nSET app.tenant TO 'c'\nROLLBACK",
    "on the primary, reset": "BEGIN\nRESET app.tenant\nSET ROLE tenant_user\nCOMMIT",
    "on the primary, reset all": "SET search_path TO acme\nBEGIN\nRESET ALL\nCOMMIT",
    # Empty, or missing
    "a local setting": "BEGIN READ ONLY\nSET LOCAL app.other TO 'x'\nCOMMIT",
    "on the primary, a local setting": "BEGIN\nSET LOCAL app.other TO 'x'\nCOMMIT",
    "a local setting of a function": "SELECT other_for_now()",
    "a setting of a function's own": "SELECT with_other()",
    "a setting that is reset": "RESET app.other",
    "a statement that fails": "SELECT set_config('app.other', 'x', false), 1/0",
    "a function that fails": "SELECT set_any('app.other', 'x'), 1/0",
    "on the primary, a failed transaction": "BEGIN\nSELECT 1/0\nSET app.other TO 'x'\nROLLBACK",
    "a setting that is not made": "SELECT set_config('app.other', 'x', false) WHERE false",
    "on the primary, one that is not made": "BEGIN\nSELECT set_config('app.other', 'x', false) WHERE false\nCOMMIT",
    "on the primary, ended within a string": "BEGIN\nSET app.tenant TO 'b'\nCOMMIT; SELECT 1",
    # What an expression returns
    "unless it is set": """
        SELECT coalesce(nullif(current_setting('app.tenant', true), ''), set_config('app.tenant', 'b', false))
    """,
    "where": "SELECT set_config('app.tenant', 'b', false) WHERE current_setting('app.tenant', true) = 'none'",
    "case": "SELECT CASE WHEN current_setting('app.tenant', true) = '' THEN set_config('app.tenant', 'b', false) END",
    "appended": """
        SET search_path TO public
        SELECT set_config('search_path', current_setting('search_path') || ', acme', false)
        SELECT set_config('search_path', current_setting('search_path') || ', bolt', false)
    """,
    "local or not": "SELECT set_config('app.tenant', 'b', 1 = 1)",
    "of rows": "SELECT set_config('app.tenant', tenant, false) FROM doc WHERE body = 'b1'",
    "a name in parts": "SELECT set_config('app.' || 'tenant', 'b', false)",
    "a computed name": "SELECT set_config('app.' || lower('TENANT'), 'b', false)",
    "quoting rules": r"SET app.tenant TO 'q\\bz'" + "\nSET standard_conforming_strings TO off",
    "another alphabet": "SET app.tenant TO 'é€'\nSET search_path TO 'ü', \"Ä b\"",
    # Roles
    "a role in dynamic SQL": "SELECT set_any('role', 'tenant_user')",
    "a role in parts": "DO $$BEGIN EXECUTE 'SET R' || 'OLE tenant_user'; END$$",
    "a role in a function": "SELECT as_tenant()",
    "a role in a function, on the replica": "BEGIN READ ONLY\nSELECT as_tenant()\nCOMMIT",
    "no role in a function": "SET ROLE tenant_user\nSELECT set_any('role', 'none')",
    "a new session user has no role": "SET ROLE tenant_user\nSET SESSION AUTHORIZATION DEFAULT",
    "nor after RESET": "SET SESSION AUTHORIZATION tenant_user\nSET ROLE tenant_user\nRESET SESSION AUTHORIZATION",
    "nor in a transaction": "SET ROLE tenant_user\nBEGIN\nRESET SESSION AUTHORIZATION\nCOMMIT",
    "a session user": "SET SESSION AUTHORIZATION tenant_user",
    "a session user in a transaction": "BEGIN\nSET SESSION AUTHORIZATION tenant_user\nCOMMIT",
    "a role rolled back on the primary": "SET ROLE tenant_user\nBEGIN\nRESET SESSION AUTHORIZATION\nROLLBACK",
    # Statements that run functions
    "CREATE TABLE AS": "CREATE TABLE made AS SELECT set_tenant('b')",
    "DECLARE": "BEGIN\nDECLARE c CURSOR FOR SELECT set_tenant('b')\nFETCH c\nCOMMIT",
    "DECLARE WITH HOLD": "BEGIN\nDECLARE c CURSOR WITH HOLD FOR SELECT set_tenant('b')\nCOMMIT",
    "EXPLAIN ANALYZE": """
        EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) CREATE TABLE made AS SELECT FROM enter('b')
    """,
    "a long INSERT": f"INSERT INTO doc (tenant, body) VALUES {ROWS}, (atomic('b'), 'x')",
    "EXECUTE": "PREPARE p AS SELECT set_tenant('b')\nEXECUTE p",
    # State on the primary
    "with a lock": """
        SELECT pg_advisory_lock(1)
        SET search_path TO acme, public
        SELECT set_config('search_path', current_setting('search_path') || ', bolt', false)
        RESET app.tenant
        RESET ROLE
        SELECT set_tenant('b')
        DISCARD TEMP
    """,
    "RESET among others": "SET search_path TO acme\nRESET search_path; SET app.tenant TO 'b'",
    # What the question itself must not depend on
    "other tables": "SET search_path TO evil, pg_catalog, public\nSELECT set_any('app.tenant', 'b')",
}


@pytest.mark.parametrize("mode", ["autocommit", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    setup = f"""{SETUP}
        DROP SCHEMA IF EXISTS evil CASCADE; CREATE SCHEMA evil;
        CREATE TABLE evil.pg_settings (i int); CREATE TABLE evil.pg_locks (i int);
        CREATE FUNCTION as_tenant() RETURNS void LANGUAGE plpgsql AS 'BEGIN SET ROLE tenant_user; END';
        CREATE FUNCTION with_other() RETURNS int LANGUAGE sql SET app.other TO 'x' AS 'SELECT 1';
        CREATE FUNCTION other_for_now() RETURNS text LANGUAGE sql AS $$SELECT set_config('app.other', 'x', true)$$;
    """
    steps = [line.strip() for line in (TENANT + SCENARIOS[name]).strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, [*steps, READ, WRITE, READ, WRITE], setup=setup)
    assert in_lax == on_primary
