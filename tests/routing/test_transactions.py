"""Transactions in lax begin, nest, fail and end as they do on the primary."""

import pytest

from fly_orm.sessions.context import current
from fly_orm.testing import Cluster
from tests.support.one_table import count, one_table
from tests.support.side_by_side import Probe, SideBySide
from tests.support.two_regions import TwoRegions, two_regions

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


#: What takes no snapshot, so that a transaction that reads one takes it only with what follows.
WITHOUT_SNAPSHOT = {
    "lock": "LOCK TABLE t IN SHARE MODE",
    "several": "LOCK TABLE t IN SHARE MODE; NOTIFY heard",
    "after a savepoint": "SAVEPOINT a; LOCK TABLE t IN SHARE MODE; RELEASE a",
    "with a setting": "SET LOCAL work_mem TO '1MB'; LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
    "notify": "NOTIFY heard, 'it'",
    "constraints": "SET CONSTRAINTS ALL IMMEDIATE",
    "reset": "RESET work_mem",
    "reset all": "RESET ALL",
    "reset search_path": "RESET search_path",
    "fetch": "FETCH 1 FROM kept",
    "move": "MOVE 1 FROM kept",
    "chain": "COMMIT AND CHAIN",
    "chain after a write": "INSERT INTO t (name) VALUES ('x')\nCOMMIT AND CHAIN",
    "rollback and chain": "INSERT INTO t (name) VALUES ('x')\nROLLBACK AND CHAIN",
    "another transaction": "COMMIT; BEGIN ISOLATION LEVEL {level}; NOTIFY heard",
}


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("name", WITHOUT_SNAPSHOT)
def test_no_snapshot_is_taken_too_early(beside: SideBySide, name: str, level: str) -> None:
    def commit_elsewhere(_probe: Probe) -> None:
        beside.regions.query("INSERT INTO volatile VALUES (1)")

    on_primary, in_lax = beside.traces(
        [
            "DECLARE kept CURSOR WITH HOLD FOR VALUES (1), (2)",
            f"BEGIN ISOLATION LEVEL {level}",
            *WITHOUT_SNAPSHOT[name].format(level=level).splitlines(),
            commit_elsewhere,
            "SELECT count(*) FROM volatile",
            "INSERT INTO volatile SELECT 2 WHERE NOT EXISTS (SELECT FROM volatile)",
            "SHOW work_mem",
            "SHOW search_path",
            "COMMIT",
            "SHOW work_mem",
        ],
        startup=r"-c work_mem=2MB -c search_path=public,\ pg_catalog",
    )
    assert in_lax == on_primary
    assert "('builtins', 'int', '1')" in str([trace for trace in in_lax if trace[0] == "SELECT count(*) FROM volatile"])


@pytest.mark.parametrize("name", WITHOUT_SNAPSHOT)
def test_the_isolation_level_can_still_be_set(beside: SideBySide, name: str) -> None:
    steps = WITHOUT_SNAPSHOT[name].format(level="READ COMMITTED").splitlines()
    on_primary, in_lax = beside.traces(
        [
            "DECLARE kept CURSOR WITH HOLD FOR VALUES (1), (2)",
            "BEGIN",
            *steps,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW transaction_isolation",
            "ROLLBACK",
        ],
        startup="-c work_mem=2MB",
    )
    assert in_lax == on_primary


class TestACommitThatChains:
    def test_is_waited_for_as_any_other(self, regions: TwoRegions) -> None:
        db = one_table(regions)
        replica = regions.unwrapped(regions.cluster.replica)
        with regions.cluster.apply_delay(0.04):
            for number in range(2, 5):
                for sql in ("BEGIN", f"INSERT INTO t (name) VALUES ('{number}')", "COMMIT AND CHAIN"):
                    db.execute_sql(sql)
                assert count(replica) == number
                db.execute_sql("ROLLBACK")

    def test_leaves_reads_to_the_primary_if_no_other_connection_can_tell_its_position(
        self, cluster: Cluster, database: str
    ) -> None:
        with two_regions(cluster, database, pool_size=1) as regions:
            db = one_table(regions)
            with cluster.replay_paused():
                for sql in ("BEGIN", "INSERT INTO t (name) VALUES ('x')", "COMMIT AND CHAIN"):
                    db.execute_sql(sql)
                pin = current().pins.get(db.connection().database)
                assert pin is not None
                assert pin.position.is_unknown
                db.execute_sql("ROLLBACK")
                assert count(db) == 2
