"""What a session holds in lax is what it holds on the primary: settings, temporary tables, locks, cursors."""

import pytest

from tests.support.side_by_side import SideBySide

pytestmark = pytest.mark.over_every_transport

#: Each line is a statement.
SCENARIOS = {
    "set": """
        SET TimeZone = 'America/New_York'
        SELECT '2024-07-01 12:00Z'::timestamptz
        SELECT '2024-07-01 12:00Z'::timestamptz FROM t WHERE id = 1 FOR UPDATE
        SET DateStyle = 'German'
        SELECT '2024-07-01 12:00Z'::timestamptz::text
        UPDATE t SET n=n WHERE id=1 RETURNING '2024-07-01'::date::text
        RESET ALL
        UPDATE t SET n=n WHERE id=1 RETURNING '2024-07-01'::date::text
        SHOW TimeZone
        RESET TimeZone
        SET nope = 1
        SET work_mem = 'x'
    """,
    "set formats": r"""
        SET IntervalStyle = 'iso_8601'
        SELECT '1 day 2 hours'::interval::text
        UPDATE t SET n=n WHERE id=1 RETURNING '1 day 2 hours'::interval::text
        SET bytea_output = 'escape'
        UPDATE t SET n=n WHERE id=1 RETURNING '\x00ff41'::bytea
        SET extra_float_digits = -10
        UPDATE t SET n=n WHERE id=1 RETURNING 1.23456789012345678::float8
        SET xmlbinary = hex
        SET client_min_messages = 'debug1'
        RESET client_min_messages
    """,
    "set in transaction": """
        BEGIN
        SET TimeZone = 'Asia/Tokyo'
        SHOW TimeZone
        COMMIT
        SHOW TimeZone
        SELECT '2024-07-01 12:00Z'::timestamptz
        BEGIN
        SET TimeZone = 'Europe/Paris'
        ROLLBACK
        SHOW TimeZone
        BEGIN
        SET LOCAL TimeZone = 'Europe/Paris'
        SHOW TimeZone
        COMMIT
        SHOW TimeZone
    """,
    "set and savepoint": """
        BEGIN
        SET TimeZone = 'Asia/Tokyo'
        SAVEPOINT a
        SET TimeZone = 'Europe/Paris'
        SET search_path = pg_catalog
        ROLLBACK TO a
        SHOW TimeZone
        COMMIT
        SHOW TimeZone
        SHOW search_path
    """,
    "set released": """
        BEGIN
        SAVEPOINT a
        SET TimeZone = 'Europe/Paris'
        RELEASE a
        COMMIT
        SHOW TimeZone
    """,
    "set failed commit": """
        BEGIN
        SET TimeZone = 'Europe/Paris'
        SELECT 1/0
        COMMIT
        SHOW TimeZone
    """,
    "set config": """
        SELECT set_config('TimeZone', 'Asia/Tokyo', false)
        SHOW TimeZone
        UPDATE t SET n=n WHERE id=1 RETURNING current_setting('TimeZone')
        BEGIN
        SELECT set_config('TimeZone', 'Europe/Paris', false)
        COMMIT
        SHOW TimeZone
        BEGIN
        SELECT set_config('TimeZone', 'UTC', false)
        ROLLBACK
        SHOW TimeZone
        BEGIN
        SELECT set_config('TimeZone', 'UTC', true)
        SHOW TimeZone
        COMMIT
        SHOW TimeZone
        SELECT set_config('app.user', 'ann', false)
        SELECT current_setting('app.user')
        UPDATE t SET n=n WHERE id=1 RETURNING current_setting('app.user')
        INSERT INTO t (name) SELECT set_config('app.user', 'bob', false) || 'x' RETURNING name
        SELECT current_setting('app.user')
    """,
    "set search path": """
        CREATE SCHEMA other
        CREATE TABLE other.t (o int)
        SET search_path TO other, public
        SELECT * FROM t
        INSERT INTO t VALUES (4)
        SELECT * FROM t
        RESET search_path
        SELECT count(*) FROM t
        DROP SCHEMA other CASCADE
    """,
    "set role": """
        SELECT count(*) FROM pg_roles WHERE rolname = 'clerk'
        SET ROLE postgres
        SELECT current_user
        RESET ROLE
        SET SESSION AUTHORIZATION postgres
        RESET SESSION AUTHORIZATION
        SET ROLE nobody_there
        SELECT current_user, session_user
    """,
    "set in a read only transaction": """
        BEGIN READ ONLY
        SET search_path TO pg_catalog, public
        COMMIT
        SHOW search_path
        UPDATE t SET n = 1 RETURNING current_setting('search_path')
        BEGIN READ ONLY
        SET search_path TO public
        ROLLBACK
        UPDATE t SET n = 1 RETURNING current_setting('search_path')
    """,
    "discard": """
        SET TimeZone = 'Asia/Tokyo'
        CREATE TEMP TABLE tmp (a int)
        DISCARD TEMP
        SELECT * FROM tmp
        DISCARD ALL
        SHOW TimeZone
        DISCARD PLANS
        DISCARD SEQUENCES
        BEGIN
        DISCARD ALL
        ROLLBACK
        DISCARD nothing
    """,
    "temp": """
        CREATE TEMP TABLE tmp (a int)
        INSERT INTO tmp VALUES (1)
        SELECT * FROM tmp
        SELECT count(*) FROM t
        DROP TABLE tmp
        SELECT * FROM tmp
    """,
    "temp shadows": """
        CREATE TEMPORARY TABLE t (a int)
        SELECT * FROM t
        INSERT INTO t VALUES (7)
        SELECT * FROM t
        SELECT count(*) FROM public.t
        DISCARD TEMP
        SELECT count(*) FROM t
    """,
    "temp in transaction": """
        BEGIN
        CREATE TEMP TABLE tmp (a int)
        COMMIT
        SELECT * FROM tmp
        BEGIN
        CREATE TEMP TABLE tmp2 (a int)
        ROLLBACK
        SELECT * FROM tmp2
        BEGIN
        CREATE TEMP TABLE tmp3 (a int) ON COMMIT DROP
        INSERT INTO tmp3 VALUES (1)
        SELECT * FROM tmp3
        COMMIT
        SELECT * FROM tmp3
    """,
    "temp by its schema": """
        CREATE FUNCTION pg_temp.five() RETURNS int LANGUAGE sql RETURN 5
        SELECT pg_temp.five()
        INSERT INTO t (name) VALUES ('x')
        SELECT pg_temp.five()
    """,
    "temp type in DO": """
        DO $$BEGIN CREATE TYPE pg_temp.pair AS (a int); END$$
        SELECT ROW(1)::pg_temp.pair::text
        INSERT INTO t (name) VALUES (ROW(1)::pg_temp.pair::text) RETURNING name
    """,
    "temp by search path": """
        SET search_path TO pg_temp, public
        CREATE TABLE tmp (a int)
        SELECT count(*) FROM tmp
        RESET search_path
        SELECT count(*) FROM tmp
        INSERT INTO t (name) VALUES (current_setting('search_path')) RETURNING name
        SHOW search_path
    """,
    "custom setting beside temp": """
        CREATE TEMP TABLE tmp (a int)
        SELECT current_setting('app.name', true)
        SET LOCAL app.name TO 'x'
        SELECT current_setting('app.name', true)
    """,
    "no longer listening in a failed transaction": """
        BEGIN
        UPDATE t SET n = 1/0
        UNLISTEN *
        SELECT pg_cancel_backend(-1)
        ROLLBACK
        UNLISTEN *
    """,
    "advisory": """
        SELECT pg_advisory_lock(1)
        SELECT pg_try_advisory_lock(1)
        SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        SELECT pg_advisory_unlock(1)
        SELECT pg_advisory_unlock(1)
        SELECT pg_advisory_unlock(1)
        SELECT pg_advisory_unlock_all()
        BEGIN
        SELECT pg_advisory_xact_lock(2)
        COMMIT
        SELECT pg_advisory_lock_shared(3)
        SELECT pg_advisory_unlock_shared(3)
    """,
    "prepare": """
        PREPARE p AS INSERT INTO t (name) VALUES ($1) RETURNING id
        EXECUTE p('x')
        PREPARE q (int) AS SELECT name FROM t WHERE id = $1
        EXECUTE q(1)
        DEALLOCATE p
        EXECUTE p('y')
        DEALLOCATE ALL
        EXECUTE q(1)
        PREPARE q AS SELECT 1
        EXECUTE q
    """,
    "declare": """
        BEGIN
        DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id
        FETCH 2 FROM c
        MOVE 1 FROM c
        FETCH c
        CLOSE c
        FETCH c
        ROLLBACK
        DECLARE c CURSOR FOR SELECT 1
    """,
    "declare with hold": """
        BEGIN
        DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id
        COMMIT
        FETCH ALL FROM c
        FETCH BACKWARD 1 FROM c
        INSERT INTO t (name) VALUES ('x')
        CLOSE c
        FETCH c
        DECLARE d CURSOR WITH HOLD FOR SELECT 1
        FETCH d
    """,
}


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    steps = [line.strip() for line in SCENARIOS[name].strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, steps)
    assert in_lax == on_primary
