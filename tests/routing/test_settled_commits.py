"""What became of a COMMIT that got no reply, asked for by the transaction's id."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg2
import pytest

import fly_orm
from fly_orm import OutcomeUnknown, TransactionLost
from fly_orm.postgres.libpq import has_hung_up
from fly_orm.postgres.transaction_ids import has_committed, read_open, read_run
from fly_orm.protocol.messages import OpenTransaction
from fly_orm.testing import Cluster
from tests.support.hurrying import hurried
from tests.support.statement_log import logged
from tests.support.two_regions import TwoRegions
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_spare_channels")


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    regions.query("CREATE TABLE t (name text)")
    regions.cluster.wait_for_replica()
    return regions.lax()


def insert(db: Any, name: str) -> None:
    db.execute_sql("INSERT INTO t VALUES (%s)", (name,))


def stored(regions: TwoRegions) -> Any:
    return regions.query("SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM t")


def begun(db: Any) -> Any:
    db.begin()
    db.execute_sql("SELECT 1")
    insert(db, "once")
    return db


def test_it_returns_if_the_transaction_was_committed(regions: TwoRegions, db: Any) -> None:
    begun(db)
    regions.wan.cut_before_reply()
    db.commit()
    assert db.execute_sql("SELECT count(*) FROM t").fetchone() == (1,)
    why = fly_orm.why()
    assert why is not None
    assert why.route is fly_orm.Route.LOCAL
    insert(db, "next")
    assert stored(regions) == "next once"


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request"])
def test_it_returns_or_the_transaction_is_lost_for_good(regions: TwoRegions, db: Any, fault: str) -> None:
    begun(db)
    getattr(regions.wan, fault)()
    try:
        db.commit()
    except TransactionLost:
        db.rollback()
        assert stored(regions) == ""
    else:
        assert stored(regions) == "once"


def test_the_node_that_holds_the_transaction_ends_it(regions: TwoRegions, db: Any) -> None:
    """The COMMIT is held back, but others of the caller's channels work."""
    begun(db)
    channel = db.connection().remote._lease._channel._channel

    def held_back(_request: bytes, _deadline: Any) -> bytes:
        raise OutcomeUnknown("no reply came")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "exchange", held_back)
        patch.setattr(channel, "close", lambda: None)  # the node does not hear of it
        with pytest.raises(TransactionLost, match="was not committed, and will not be"):
            db.commit()
    channel.close()
    assert stored(regions) == ""


def test_it_is_asked_for_by_one_more_query_in_a_transaction_that_writes(regions: TwoRegions, db: Any) -> None:
    insert(db, "warm")
    with logged(regions.cluster.primary, regions.name) as statements:
        begun(db)
        insert(db, "twice")
        db.commit()
        seen: list[str] = []
        until(lambda: seen.extend(statements()) or any("COMMIT" in sql for sql in seen))
    assert sum("pg_current_xact_id_if_assigned()::text" in sql for sql in seen) == 1


def test_it_stays_unknown_after_nothing_but_a_lock(regions: TwoRegions, db: Any) -> None:
    """To ask would take the snapshot of the transaction before what the lock has waited for."""
    db.begin()
    db.execute_sql("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    regions.wan.cut_before_reply()
    with pytest.raises(OutcomeUnknown):
        db.commit()


def test_it_is_known_after_a_lock_and_a_write(regions: TwoRegions, db: Any) -> None:
    db.begin()
    db.execute_sql("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    insert(db, "once")
    regions.wan.cut_before_reply()
    db.commit()
    assert stored(regions) == "once"


def test_it_is_known_after_a_read_and_a_lock(regions: TwoRegions, db: Any) -> None:
    db.begin()
    db.execute_sql("SELECT 1")
    db.execute_sql("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    regions.wan.cut_before_reply()
    db.commit()


def test_it_stays_unknown_if_it_may_wait_for_a_standby(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = "fly_orm.postgres.transaction_ids._OPEN"
    monkeypatch.setattr(waits, "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text, 'true'")
    begun(db)
    regions.wan.cut_before_reply()
    with pytest.raises(OutcomeUnknown) as caught:
        db.commit()
    assert caught.value.settled_after is None
    assert stored(regions) == "once"


@pytest.mark.slow
def test_a_commit_that_takes_too_long_is_cancelled(regions: TwoRegions, db: Any) -> None:
    """It waits for no standby, but for a deferred trigger."""
    regions.query(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    begun(db)
    started = time.monotonic()
    with hurried(db, 4.0), pytest.raises(TransactionLost, match="was not committed, and will not be"):
        db.commit()
    assert time.monotonic() - started < 20
    assert stored(regions) == ""


class TestATransactionId:
    @pytest.fixture
    def connection(self, cluster: Cluster, database: str) -> Iterator[Any]:
        with closing(cluster.primary.connect(database)) as made:
            made.autocommit = True
            yield made

    def run(self, connection: Any, end: str) -> OpenTransaction:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            assert read_open(connection, "now") is None
            cursor.execute("SELECT pg_current_xact_id()")
            transaction = read_open(connection, "now")
            assert transaction is not None
            cursor.execute(end)
        return transaction

    def test_tells_what_became_of_it(self, connection: Any) -> None:
        assert has_committed(connection, "now", self.run(connection, "COMMIT")) is True
        assert has_committed(connection, "now", self.run(connection, "ROLLBACK")) is False
        assert has_committed(connection, "now", self.run(connection, "SELECT 1")) is None

    def test_may_be_another_ones_after_a_crash_if_that_one_was_committed(self, connection: Any) -> None:
        assert has_committed(connection, "after a crash", self.run(connection, "COMMIT")) is None
        assert has_committed(connection, "after a crash", self.run(connection, "ROLLBACK")) is False

    def test_was_lost_if_it_has_not_been_given_out(self, connection: Any) -> None:
        transaction = OpenTransaction(id=2**40 + 1000, run="before a crash")
        assert has_committed(connection, "now", transaction) is False


@pytest.mark.slow
def test_a_crash_of_the_server_is_noticed_and_a_restart_is_none(cluster: Cluster) -> None:
    def run() -> str:
        with closing(cluster.primary.connect()) as connection:
            connection.autocommit = True
            return read_run(connection)

    def crash() -> None:
        """Of one session, after which the server begins anew although its main process goes on."""
        with closing(cluster.primary.connect()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            until(lambda: has_hung_up(connection))

    first = run()
    cluster.primary.restart()
    assert run() == first
    crash()
    second = until_connected(run)
    assert second != first
    cluster.primary.kill()
    cluster.primary.start()
    assert run() not in (first, second)


def until_connected(run: Callable[[], str]) -> str:
    found: list[str] = []

    def attempt() -> bool:
        with suppress(psycopg2.OperationalError):
            found.append(run())
        return bool(found)

    until(attempt)
    return found[0]
