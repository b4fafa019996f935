"""What a caller in lax sees, and can still do, when something on the way or at its end fails."""

import os
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import peewee
import psycopg2
import pytest
from psycopg2 import extensions as ext

import fly_orm
from fly_orm.protocol.messages import Declined
from fly_orm.routing.errors import informative_cause
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.testing import Cluster
from tests.support.one_table import INSERT, TABLE, count, one_table, open_transactions
from tests.support.threads import refuse_threads
from tests.support.two_regions import TwoRegions, two_regions
from tests.support.waiting import until


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    return one_table(regions)


# A transaction that is lost


def test_a_lost_transaction_raises_until_it_is_rolled_back(regions: TwoRegions, db: Any) -> None:
    connection = db.connection()
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute(INSERT, ("lost",))
    regions.wan.cut()
    regions.wan.heal()
    told = []
    for _ in range(2):
        with pytest.raises(fly_orm.TransactionLost) as raised:
            cursor.execute("SELECT 1")
        assert isinstance(raised.value, psycopg2.OperationalError)
        told.append((str(raised.value), raised.value.node))
    assert told[0] == told[1]
    assert told[0][0].startswith("the transaction on syd=")
    assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR
    cursor.execute("ROLLBACK")
    assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE
    db.execute_sql(INSERT, ("next",))
    assert count(db) == 2


@pytest.mark.usefixtures("no_spare_channels")
def test_a_transaction_whose_first_statement_got_no_answer_is_lost(regions: TwoRegions, db: Any) -> None:
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.TransactionLost), db.atomic():
        db.execute_sql(INSERT, ("1",))
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_transaction_whose_node_declines_a_statement_is_rolled_back(
    regions: TwoRegions, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declined = Declined(reason="bad request", message="another version")
    with pytest.raises(fly_orm.Refused), db.atomic():
        db.execute_sql(INSERT, ("1",))
        monkeypatch.setattr(ChannelExecutor, "_run", lambda *_: declined)
        db.execute_sql(INSERT, ("2",))
    until(lambda: open_transactions(regions) == 0)


def test_a_process_without_threads_to_spare_can_write(regions: TwoRegions, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = "fly_orm channel opener"
    monkeypatch.setattr("fly_orm.forwarding.channels.WARM_UP_INTERVAL", 0.0)
    db = one_table(regions)
    until(lambda: opener not in [thread.name for thread in threading.enumerate()])
    regions.wan.cut()
    regions.wan.heal()  # so that there are no channels ready
    with monkeypatch.context() as patch:
        refused = refuse_threads(patch, opener)
        db.execute_sql(INSERT, ("1",))
    assert refused
    db.execute_sql(INSERT, ("2",))
    assert count(db) == 3


def test_to_commit_a_lost_transaction_is_an_error(regions: TwoRegions, db: Any) -> None:
    cursor = db.connection().cursor()
    cursor.execute("BEGIN")
    cursor.execute(INSERT, ("lost",))
    regions.wan.cut()
    regions.wan.heal()
    with pytest.raises(fly_orm.TransactionLost):
        cursor.execute("SELECT 1")
    with pytest.raises(fly_orm.TransactionLost):
        cursor.execute("COMMIT")
    assert db.connection().get_transaction_status() == ext.TRANSACTION_STATUS_IDLE
    assert count(db) == 1


@pytest.mark.parametrize("depth", [1, 2])
def test_atomic_raises_that_the_transaction_was_lost(regions: TwoRegions, db: Any, depth: int) -> None:
    with pytest.raises(fly_orm.TransactionLost) as raised, db.atomic():
        db.execute_sql(INSERT, ("lost",))
        if depth == 1:
            regions.wan.cut()
            regions.wan.heal()
            db.execute_sql(INSERT, ("never",))
        with db.atomic():
            regions.wan.cut()
            regions.wan.heal()
            db.execute_sql(INSERT, ("never",))
    assert isinstance(raised.value, peewee.OperationalError)
    assert not db.in_transaction()
    with db.atomic():
        db.execute_sql(INSERT, ("next",))
    assert count(db) == 2


def test_rolling_a_lost_transaction_back_is_silent(regions: TwoRegions, db: Any) -> None:
    connection = db.connection()
    connection.autocommit = False
    connection.cursor().execute(INSERT, ("lost",))
    regions.wan.cut()
    regions.wan.heal()
    connection.rollback()
    assert connection.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE
    connection.cursor().execute(INSERT, ("next",))
    connection.commit()
    assert regions.query("SELECT string_agg(name, ',' ORDER BY id) FROM t") == "first,next"


def test_a_session_whose_state_is_lost_is_closed(regions: TwoRegions, db: Any) -> None:
    db.execute_sql("CREATE TEMP TABLE mine (a int)")
    connection = db.connection()
    regions.wan.cut()
    regions.wan.heal()
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT * FROM mine")
    assert connection.closed


# Outcomes of a single write


@pytest.mark.usefixtures("impatient")
def test_a_write_that_was_not_delivered_says_so(regions: TwoRegions, db: Any) -> None:
    regions.wan.cut()
    with pytest.raises(fly_orm.NotDelivered) as raised:
        db.execute_sql(INSERT, ("never",))
    assert isinstance(raised.value, peewee.OperationalError)
    assert isinstance(raised.value, psycopg2.OperationalError)
    assert count(db) == 1
    regions.wan.heal()
    db.execute_sql(INSERT, ("now",))
    assert count(db) == 2


@pytest.mark.usefixtures("no_spare_channels")
def test_a_write_whose_reply_was_lost_has_an_unknown_outcome(regions: TwoRegions, db: Any) -> None:
    regions.wan.cut_before_reply()
    with pytest.raises(fly_orm.OutcomeUnknown):
        db.execute_sql(INSERT, ("once",))
    assert regions.query("SELECT count(*) FROM t WHERE name = 'once'") == 1
    db.execute_sql(INSERT, ("next",))


@pytest.mark.usefixtures("no_spare_channels")
def test_a_commit_whose_reply_was_lost_is_found_out(regions: TwoRegions, db: Any) -> None:
    with db.atomic():
        db.execute_sql(INSERT, ("once",))
        regions.wan.cut_before_reply()
    assert not db.in_transaction()
    assert regions.query("SELECT count(*) FROM t WHERE name = 'once'") == 1
    db.execute_sql(INSERT, ("next",))


@pytest.mark.usefixtures("no_spare_channels")
def test_a_commit_of_psycopg2_whose_reply_was_lost_leaves_the_connection_usable(regions: TwoRegions, db: Any) -> None:
    connection = db.connection()
    connection.autocommit = False
    connection.cursor().execute(INSERT, ("once",))
    regions.wan.cut_before_reply()
    connection.commit()
    assert connection.status == ext.STATUS_READY
    connection.rollback()
    connection.cursor().execute(INSERT, ("next",))
    connection.commit()


# Transactions that nobody ends


@pytest.mark.parametrize("end", ["close", "forget", "reset"])
def test_a_connection_that_goes_away_rolls_its_transaction_back(regions: TwoRegions, db: Any, end: str) -> None:
    db.execute_sql("BEGIN")
    db.execute_sql(INSERT, ("undone",))
    assert open_transactions(regions) == 1
    if end == "forget":
        db._state.reset()
    else:
        getattr(db.connection(), end)()
    until(lambda: open_transactions(regions) == 0)
    assert regions.query("SELECT count(*) FROM t") == 1


def test_a_lease_is_given_back_when_its_connection_closes(regions: TwoRegions, db: Any) -> None:
    for _ in range(40):  # more than there are channels
        db.execute_sql("BEGIN")
        db.execute_sql("SELECT 1")
        db.close()
    db.execute_sql(INSERT, ("next",))


def test_a_forked_child_leaves_its_parents_transaction_alone(regions: TwoRegions, db: Any) -> None:
    with db.atomic():
        db.execute_sql(INSERT, ("parent",))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                db.connection().remote.end()
                db._state.reset()
                db.execute_sql(INSERT, ("child",))
                status = 0 if db.execute_sql("SELECT count(*) FROM t WHERE name = 'child'").fetchone()[0] == 1 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        db.execute_sql(INSERT, ("parent again",))
    assert count(db) == 4


# The replica


@pytest.fixture
def cancelled_at_once(regions: TwoRegions) -> Iterator[None]:
    """The replica cancels at once what keeps it from replaying."""
    regions.cluster.replica.query("ALTER SYSTEM SET max_standby_streaming_delay = '10ms'")
    regions.cluster.replica.query("SELECT pg_reload_conf()")
    yield
    regions.cluster.replica.query("ALTER SYSTEM RESET max_standby_streaming_delay")
    regions.cluster.replica.query("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("cancelled_at_once")
def test_a_read_that_replay_cancels_runs_on_the_primary(regions: TwoRegions, db: Any) -> None:
    cursor = db.connection().cursor()
    pid = db.connection().get_backend_pid()
    thread = threading.Thread(target=drop_while_it_reads, args=(regions, pid))
    thread.start()
    cursor.execute("SELECT pg_sleep(CASE WHEN pg_is_in_recovery() THEN 60 ELSE 0 END), count(*) FROM t")
    thread.join()
    assert cursor.fetchone() == ("", 1)
    served = fly_orm.why()
    assert served is not None
    assert served.route is fly_orm.Route.PRIMARY
    assert "conflict with recovery" in served.why


@pytest.mark.usefixtures("cancelled_at_once")
def test_a_read_only_transaction_whose_snapshot_replay_removes_is_lost(regions: TwoRegions, db: Any) -> None:
    db.execute_sql(INSERT, ("second",))
    connection = db.connection()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM t")
    for sql in ("DELETE FROM t WHERE name = 'second'", "VACUUM t"):
        regions.plain().execute_sql(sql)
    pid = connection.get_backend_pid()
    until(lambda: regions.cluster.replica.query(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == 0)
    with pytest.raises(psycopg2.OperationalError):
        cursor.execute("SELECT count(*) FROM t")
    db.close()
    with fly_orm.primary(), db.atomic("REPEATABLE READ READ ONLY"):
        assert count(db) == 1


def drop_while_it_reads(regions: TwoRegions, pid: int) -> None:
    reading = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
    until(lambda: bool(regions.cluster.replica.query(reading)))
    regions.query("ALTER TABLE t ADD extra int")


def test_a_write_succeeds_while_the_replica_is_down(regions: TwoRegions, db: Any) -> None:
    late = regions.lax(options={"replication_timeout": 0.05})
    late.connect()
    late.execute_sql("BEGIN")
    late.execute_sql(INSERT, ("late",))
    regions.cluster.replica.stop("immediate")
    late.execute_sql("COMMIT")
    assert count(late) == 2
    assert fly_orm.why().route is fly_orm.Route.PRIMARY  # type: ignore[union-attr]


def test_a_commit_succeeds_though_its_settings_cannot_be_had_on_a_replica_that_is_down(
    regions: TwoRegions, db: Any
) -> None:
    late = regions.lax(options={"replication_timeout": 0.05})
    late.execute_sql("BEGIN")
    late.execute_sql("SET TimeZone = 'Asia/Tokyo'")
    late.execute_sql(INSERT, ("late",))
    regions.cluster.replica.stop("immediate")
    late.execute_sql("COMMIT")
    assert regions.query("SELECT count(*) FROM t") == 2


def test_while_replay_is_paused_a_session_that_wrote_reads_from_the_primary(regions: TwoRegions, db: Any) -> None:
    late = regions.lax(options={"replication_timeout": 0.05})
    with regions.cluster.replay_paused():
        assert late.execute_sql("INSERT INTO t (name) VALUES ('late') RETURNING id").fetchone() == (2,)
        assert count(late) == 2
        assert fly_orm.why().route is fly_orm.Route.PRIMARY  # type: ignore[union-attr]
        others: list[int] = []
        thread = threading.Thread(target=lambda: others.append(count(db)))
        thread.start()
        thread.join()
        assert others == [1]
    regions.cluster.wait_for_replica()
    assert count(late) == 2
    assert fly_orm.why().route is fly_orm.Route.LOCAL  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.usefixtures("no_spare_channels")
def test_a_connection_goes_on_when_its_replica_is_promoted() -> None:
    with Cluster.start() as cluster:
        cluster.create_database("app")
        cluster.wait_for_replica()
        with two_regions(cluster, "app") as regions:
            db = regions.lax()
            db.execute_sql(TABLE)
            db.execute_sql(INSERT, ("far",))
            strict = regions.lax(startup="-c default_transaction_isolation=serializable")
            assert count(strict) == 1
            cluster.promote()
            until(lambda: count(db) == 1 and db.connection().get_parameter_status("in_hot_standby") == "off")
            before = regions.wan.round_trips
            db.execute_sql(INSERT, ("near",))
            with db.atomic():
                db.execute_sql(INSERT, ("near too",))
            assert count(db) == 3
            assert regions.wan.round_trips == before
            assert cluster.replica.connect("app").cursor().execute("SELECT 1") is None
            assert regions.query("SELECT count(*) FROM t") == 1
            until(lambda: count(strict) == 3 and strict.connection().get_parameter_status("in_hot_standby") == "off")
            assert strict.execute_sql("SHOW transaction_isolation").fetchone() == ("serializable",)


def test_a_terminated_connection_to_the_replica_is_as_psycopg2_has_it(regions: TwoRegions, db: Any) -> None:
    cursor = db.connection().cursor()
    regions.cluster.replica.query("SELECT pg_terminate_backend(%s, 5000)", db.connection().get_backend_pid())
    with pytest.raises(psycopg2.OperationalError):
        cursor.execute("SELECT 1")
    assert db.connection().closed
    db.close()
    assert count(db) == 1


# What is printed of an error


@pytest.mark.usefixtures("no_spare_channels", "impatient")
@pytest.mark.parametrize(
    ("fault", "error"), [("cut", fly_orm.NotDelivered), ("cut_before_reply", fly_orm.OutcomeUnknown)]
)
def test_the_error_of_a_write_prints_one_traceback(
    regions: TwoRegions, db: Any, fault: str, error: type[fly_orm.FlyOrmError]
) -> None:
    db.execute_sql(INSERT, ("before",))
    getattr(regions.wan, fault)()
    with pytest.raises(error) as raised:
        db.execute_sql(INSERT, ("lost",))
    printed = "".join(traceback.format_exception(raised.value))
    assert printed.count("Traceback (most recent call last)") == 1
    assert not isinstance(raised.value, fly_orm.NotDelivered) or raised.value.failures


def test_a_cause_that_an_error_does_not_quote_is_kept() -> None:
    bug = ZeroDivisionError("division by zero")
    error, between = fly_orm.NotDelivered("the node answered nonsense"), fly_orm.NotDelivered("nonsense")
    error.__cause__, between.__cause__ = between, bug
    assert informative_cause(error) is bug
