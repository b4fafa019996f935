"""Statements in lax do, return and raise what they do on the primary."""

import pytest

from tests.support.side_by_side import SideBySide

#: Each line is a statement.
SCENARIOS = {
    "insert update delete": """
        INSERT INTO t (name, n) VALUES ('x', 5)
        UPDATE t SET n = n + 1 RETURNING id, n
        DELETE FROM t WHERE id = 2
        DELETE FROM t WHERE id = 2 RETURNING *
        SELECT * FROM t ORDER BY id
    """,
    "error in read": """
        SELECT nope FROM t
        SELECT 1/0
        SELEC
        SELECT * FROM missing
        SELECT 'x'::int
        SELECT 1
    """,
    "error in write": """
        INSERT INTO t (name) VALUES ('ann')
        INSERT INTO t (n) VALUES (1000)
        INSERT INTO missing VALUES (1)
        UPDATE t SET id = NULL
        INSERT INTO t (n) VALUES ('x')
        INSERT INTO t VALUES (1,2,3,4)
        INSERT INTO t (n) VALUES (99999999999)
        INSER
        SELECT count(*) FROM t
    """,
    "several in one string": """
        INSERT INTO t (name) VALUES ('x'); SELECT count(*) FROM t
        SELECT 1; SELECT 2
        SELECT 1; UPDATE t SET n = 3
        BEGIN; INSERT INTO t (name) VALUES ('y'); COMMIT
        INSERT INTO t (name) VALUES ('z'); SELECT 1/0
        BEGIN; INSERT INTO t (name) VALUES ('w')
        SELECT count(*) FROM t
        ROLLBACK
        SELECT count(*) FROM t
    """,
    "cte": """
        WITH x AS (INSERT INTO t (name) VALUES ('x') RETURNING id) SELECT * FROM x
        WITH x AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT name FROM x
        WITH x AS (SELECT 1 AS a) UPDATE t SET n = a FROM x
        WITH x AS (SELECT 1 AS a) SELECT * FROM x
        WITH x AS (SELECT 5) DELETE FROM t
        WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r
    """,
    "functions": """
        SELECT add('x')
        SELECT * FROM pair(3, 2)
        SELECT add('ann')
        CALL rename('bob', 'rob')
        SELECT name FROM t ORDER BY 1
        DO $$ BEGIN INSERT INTO t (name) VALUES ('do'); END $$
        SELECT count(*) FROM t
        DO $$ BEGIN PERFORM complain(); END $$
        SELECT complain()
        DO $$ BEGIN PERFORM 1; END $$
    """,
    "notices": """
        SELECT shout('a')
        DO $$ BEGIN RAISE NOTICE 'x'; RAISE WARNING 'y'; END $$
        DROP TABLE IF EXISTS nope
        CREATE TABLE IF NOT EXISTS t (a int)
        SELECT shout(name) FROM t FOR UPDATE
    """,
    "unlogged": """
        INSERT INTO volatile VALUES (1)
        SELECT * FROM volatile
        SELECT count(*) FROM volatile, t
    """,
    "upsert": """
        INSERT INTO t (name, n) VALUES ('ann', 9) ON CONFLICT (name) DO UPDATE SET n = excluded.n RETURNING id, n
        INSERT INTO t (name) VALUES ('ann') ON CONFLICT DO NOTHING
        MERGE INTO t USING (VALUES ('ann', 3)) v (name, n) ON t.name = v.name WHEN MATCHED THEN UPDATE SET n = v.n
    """,
    "ddl": """
        CREATE TABLE d (a int)
        CREATE TABLE d (a int)
        ALTER TABLE d ADD b text DEFAULT 'x'
        CREATE INDEX d_a ON d (a)
        CREATE INDEX CONCURRENTLY d_b ON d (b)
        COMMENT ON TABLE d IS 'c'
        INSERT INTO d (a) VALUES (1)
        SELECT * FROM d
        TRUNCATE d
        DROP TABLE d
        DROP TABLE d
        CREATE VIEW v AS SELECT * FROM t
        SELECT count(*) FROM v
        CREATE MATERIALIZED VIEW m AS SELECT count(*) AS c FROM t
        REFRESH MATERIALIZED VIEW m
        TABLE m
        VACUUM t
        ANALYZE t
        REINDEX TABLE t
        GRANT SELECT ON t TO PUBLIC
    """,
    "explain": """
        EXPLAIN (COSTS OFF) SELECT * FROM t
        EXPLAIN (COSTS OFF) INSERT INTO t (name) VALUES ('x')
        EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) INSERT INTO t (name) VALUES ('x')
        SELECT count(*) FROM t
        EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM t
    """,
    "row locks": """
        SELECT * FROM t WHERE id = 1 FOR UPDATE
        SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED
        SELECT * FROM t FOR SHARE NOWAIT
        SELECT * FROM t FOR KEY SHARE
        BEGIN
        SELECT * FROM t FOR UPDATE OF t
        COMMIT
    """,
    "lock table": """
        LOCK TABLE t
        BEGIN
        LOCK TABLE t IN ACCESS EXCLUSIVE MODE
        LOCK t IN ROW SHARE MODE
        COMMIT
    """,
    "notify": """
        NOTIFY chan
        NOTIFY chan, 'payload'
        SELECT pg_notify('chan', 'x')
        UNLISTEN *
        UNLISTEN chan
    """,
    "transaction ids": """
        SELECT txid_current() > 0, pg_current_xact_id() IS NOT NULL
        SELECT txid_current_if_assigned() IS NULL
        SELECT pg_current_wal_lsn() IS NOT NULL
    """,
    "show and values": """
        SHOW server_encoding
        VALUES (1, 'a'), (2, 'b')
        TABLE t
        (SELECT 1) UNION ALL (SELECT 2) ORDER BY 1
        SELECT
        SELECT FROM t
        UPDATE t SET n=1 RETURNING 1 AS a, 2 AS a
    """,
    "server commands": """
        CHECKPOINT
        LOAD 'plpgsql'
        SELECT pg_is_in_recovery() FROM t WHERE id = 1 FOR UPDATE
    """,
    "conditional write": """
        SELECT maybe(false)
        SELECT maybe(true)
        SELECT count(*) FROM t
    """,
    "tables made from queries": """
        SELECT * INTO copy FROM t
        SELECT * FROM copy ORDER BY id
        SELECT * INTO TEMP copy2 FROM t
        SELECT count(*) FROM copy2
        CREATE TABLE copy3 AS SELECT 1 AS a
        SELECT * FROM copy3
        CREATE TEMP TABLE copy4 AS TABLE t
        TABLE copy4
    """,
}


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    steps = [line.strip() for line in SCENARIOS[name].strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, steps)
    assert in_lax == on_primary
