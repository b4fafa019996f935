"""Transactions in lax begin, nest, fail and end as they do on the primary."""

import pytest

from tests.support.side_by_side import SideBySide

pytestmark = pytest.mark.over_every_transport

#: Each line is a statement.
SCENARIOS = {
    "transaction": """
        BEGIN
        SELECT count(*) FROM t
        INSERT INTO t (name) VALUES ('x')
        SELECT count(*) FROM t
        COMMIT
        SELECT count(*) FROM t
        COMMIT
        ROLLBACK
        END
        ABORT
    """,
    "transaction rolled back": """
        START TRANSACTION
        INSERT INTO t (name) VALUES ('x')
        ROLLBACK
        SELECT count(*) FROM t
    """,
    "failed transaction": """
        BEGIN
        INSERT INTO t (name) VALUES ('q')
        INSERT INTO t (name) VALUES ('ann')
        SELECT 1
        INSERT INTO t (name) VALUES ('x')
        COMMIT
        SELECT count(*) FROM t
    """,
    "failed transaction rolled back": """
        BEGIN
        SELECT 1/0
        SAVEPOINT a
        BEGIN
        SELECT 1
        ROLLBACK
        SELECT count(*) FROM t
    """,
    "savepoints": """
        BEGIN
        SAVEPOINT a
        INSERT INTO t (name) VALUES ('x')
        SAVEPOINT b
        INSERT INTO t (name) VALUES ('ann')
        ROLLBACK TO b
        SELECT count(*) FROM t
        RELEASE b
        RELEASE a
        RELEASE a
        ROLLBACK TO SAVEPOINT a
        ROLLBACK
        SAVEPOINT c
        RELEASE c
        ROLLBACK TO c
    """,
    "savepoints shadow": """
        BEGIN
        SAVEPOINT a
        INSERT INTO t (name) VALUES ('1')
        SAVEPOINT a
        INSERT INTO t (name) VALUES ('2')
        ROLLBACK TO a
        RELEASE a
        SELECT count(*) FROM t
        ROLLBACK TO a
        SELECT count(*) FROM t
        SAVEPOINT "A"
        RELEASE "A";
        COMMIT
        SELECT count(*) FROM t
    """,
    "savepoint empty": """
        BEGIN
        SAVEPOINT a
        RELEASE SAVEPOINT a
        SAVEPOINT b
        ROLLBACK TO b
        COMMIT
    """,
    "chain": """
        BEGIN
        INSERT INTO t (name) VALUES ('x')
        COMMIT AND CHAIN
        INSERT INTO t (name) VALUES ('y')
        ROLLBACK AND CHAIN
        SELECT count(*) FROM t
        ROLLBACK
        COMMIT AND CHAIN
        COMMIT AND NO CHAIN
    """,
    "chain after a commit that is not flushed": """
        SET synchronous_commit = off
        BEGIN
        INSERT INTO t (name) VALUES ('x')
        COMMIT AND CHAIN
        INSERT INTO t (name) VALUES ('y')
        ROLLBACK AND CHAIN
        SELECT count(*) FROM t
        COMMIT
        RESET synchronous_commit
    """,
    "chain forgets savepoints": """
        BEGIN
        SAVEPOINT a
        INSERT INTO t (name) VALUES ('x')
        COMMIT AND CHAIN
        SAVEPOINT b
        RELEASE a
        ROLLBACK AND CHAIN
        RELEASE b
        ROLLBACK
    """,
    "chain forgets what a rollback undoes": """
        BEGIN
        SET work_mem = '1MB'
        ROLLBACK AND CHAIN
        SELECT count(*) FROM t
        COMMIT
        SHOW work_mem
        BEGIN
        SHOW work_mem
        COMMIT
    """,
    "begin twice": """
        BEGIN
        BEGIN
        SELECT 1
        BEGIN
        COMMIT
    """,
    "begin modes": """
        BEGIN ISOLATION LEVEL SERIALIZABLE
        SHOW transaction_isolation
        COMMIT
        BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE
        SHOW transaction_isolation
        INSERT INTO t (name) VALUES ('z')
        COMMIT
        BEGIN READ WRITE
        INSERT INTO t (name) VALUES ('y')
        COMMIT
        BEGIN TRANSACTION NONSENSE
        BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE
        SELECT count(*) FROM t
        SHOW transaction_read_only
        ROLLBACK
    """,
    "begin read only": """
        BEGIN READ ONLY
        SELECT count(*) FROM t
        INSERT INTO t (name) VALUES ('x')
        ROLLBACK
        START TRANSACTION READ ONLY
        SHOW transaction_read_only
        SAVEPOINT a
        SELECT 1/0
        ROLLBACK TO a
        SELECT 1
        COMMIT
    """,
    "set transaction": """
        SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
        BEGIN
        SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
        SHOW transaction_isolation
        COMMIT
        BEGIN
        SET TRANSACTION READ ONLY
        INSERT INTO t (name) VALUES ('x')
        ROLLBACK
        SET LOCAL work_mem = '1MB'
        SET CONSTRAINTS ALL DEFERRED
    """,
    "characteristics": """
        SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
        SHOW default_transaction_isolation
        INSERT INTO t (name) VALUES ('x')
        SELECT count(*) FROM t
        BEGIN
        SHOW transaction_isolation
        COMMIT
        SET default_transaction_read_only = on
        INSERT INTO t (name) VALUES ('y')
        SHOW transaction_read_only
        RESET default_transaction_read_only
        INSERT INTO t (name) VALUES ('z')
    """,
    "deferred": """
        BEGIN
        INSERT INTO child VALUES (99)
        COMMIT
        SELECT count(*) FROM child
        INSERT INTO child VALUES (98)
        BEGIN
        INSERT INTO child VALUES (97)
        SET CONSTRAINTS ALL IMMEDIATE
        ROLLBACK
    """,
    "repeatable read": """
        BEGIN ISOLATION LEVEL REPEATABLE READ
        SELECT count(*) FROM t
        INSERT INTO t (name) VALUES ('s')
        COMMIT
    """,
}


@pytest.mark.parametrize("mode", ["autocommit", "transactions", "on the primary"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_the_same_in_lax(beside: SideBySide, name: str, mode: str) -> None:
    steps = [line.strip() for line in SCENARIOS[name].strip().splitlines()]
    on_primary, in_lax = beside.in_mode(mode, steps)
    assert in_lax == on_primary
