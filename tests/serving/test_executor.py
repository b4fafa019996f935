"""What a node replies to requests: which LSN it hands out, and what it says to bad ones."""

from __future__ import annotations

import gc
import os
import threading
import time
from contextlib import closing

import psycopg2
import pytest

from fly_orm.deadline import Deadline, now
from fly_orm.lsn import LSN
from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.postgres.profile import Profile
from fly_orm.postgres.running_statement import RunningStatement
from fly_orm.protocol.encoding import decode_reply, encode
from fly_orm.protocol.messages import Cancel, Declined, Done, Greet, Release, Run, Welcome
from fly_orm.serving.channel_executor import ChannelExecutor
from fly_orm.serving.executor import Executor
from fly_orm.serving.lease import Lease
from fly_orm.serving.result_limit import ResultLimit
from fly_orm.testing.contract.tools import HELD_TIMEOUT, goes_on, in_thread, result
from fly_orm.waiters import PollingWaiter
from tests.support.processes import stopped
from tests.support.waiting import until

PROFILE = Profile("UTF8", ())


SOON = Deadline.after(None)


LEASE = b"0123456789abcdef"


class NoCalls:
    """What runs functions for a node that is asked for none."""

    def run(self, call, on_start):
        raise AssertionError(call)

    def stop(self):
        pass


@pytest.fixture
def executor(pool):
    made = Executor("syd", [pool], NoCalls())
    yield made
    made.timer.close()


@pytest.fixture
def ask(executor, database):
    """Say something on one channel, and get the reply."""
    channel = ChannelExecutor(executor)

    def say(*statements, **fields):
        run = {"lease": LEASE, "opens_lease": True, "timeout": 30.0, "statements": list(statements)}
        return decode_reply(channel.respond(encode(Run(**{"database": database, **run, **fields}))))

    say.raw = lambda message: decode_reply(channel.respond(message))
    say.gone = channel.gone
    yield say
    channel.gone()


def rows(reply):
    assert isinstance(reply, Done), reply
    assert reply.error is None, reply.error
    return list(zip(*reply.result.data, strict=True))


class TestTheCommitLSN:
    @pytest.fixture
    def newest(self, cluster, database):
        """Asks the replica for the highest number in the table."""
        with closing(cluster.replica.connect(database)) as replica, replica.cursor() as cursor:

            def ask():
                cursor.execute("SELECT max(i) FROM t")
                return cursor.fetchone()[0]

            yield ask

    def test_is_one_that_the_replica_reaches_with_the_commit(self, cluster, ask, newest):
        waiter = PollingWaiter(cluster.replica.connect)
        ask(b"CREATE TABLE t (i int)")
        for number in range(300):
            done = ask(b"INSERT INTO t VALUES (%d)" % number)
            waiter.wait(done.position.lsn, Deadline.after(10))
            assert newest() == number
        waiter.close()

    @pytest.mark.parametrize("where", ["session", "transaction"])
    def test_covers_a_commit_that_did_not_wait_for_its_own_wal(self, cluster, ask, newest, where):
        waiter = PollingWaiter(cluster.replica.connect)
        ask(b"CREATE TABLE t (i int)")
        for number in range(50):
            insert = b"INSERT INTO t VALUES (%d)" % number
            if where == "session":
                done = ask(insert, session_settings=[b"SET synchronous_commit = off"])
            else:
                ask(insert, preamble=[b"BEGIN", b"SET LOCAL synchronous_commit = off"])
                done = ask(b"COMMIT", opens_lease=False, commits=True)
            waiter.wait(done.position.lsn, Deadline.after(10))
            assert newest() == number
        waiter.close()

    def test_at_a_page_boundary_is_pushed_out(self, cluster, pool, monkeypatch):
        """The flush position can end a page, inside a record of another's: then something is flushed after it."""
        connection = pool.acquire(PROFILE, SOON)
        before = connection.wal.commit_position()
        monkeypatch.setattr(LSN, "ends_page", True)
        aligned = connection.wal.commit_position()
        monkeypatch.undo()
        assert aligned.lsn >= before.lsn
        assert connection.wal.commit_position().lsn > aligned.lsn
        pool.release(connection)

    def test_is_pushed_to_a_replica_whose_sender_has_slept_through_it(self, cluster, pool, monkeypatch):
        connection = pool.acquire(PROFILE, SOON)
        sender = cluster.primary.query("SELECT pid FROM pg_stat_replication")
        cluster.wait_for_replica()

        pushed = []
        push = connection.wal._push
        monkeypatch.setattr(connection.wal, "_push", lambda: (push(), pushed.append(True)))

        def pushes():
            """Whether something is written when it is looked after."""
            connection.wal.commit_position()
            pushed.clear()
            connection.wal.wake_senders()
            return bool(pushed)

        until(lambda: not pushes())  # what Postgres writes by itself may just be on its way
        with stopped(sender):
            connection.raw.cursor().execute("SELECT pg_logical_emit_message(true, '', '')")
            assert pushes()
        cluster.wait_for_replica()
        until(lambda: not pushes())
        pool.release(connection)

    def test_of_a_transaction_that_wrote_nothing_says_so(self, ask):
        ask(b"SELECT 1", preamble=[b"BEGIN"])
        done = ask(b"COMMIT", opens_lease=False, commits=True)
        assert (done.may_have_written, done.position.lsn > 0) == (False, True)

    def test_is_none_if_nobody_wants_to_wait(self, ask):
        assert ask(b"SELECT 1", wants_position=False).position is None


class TestAnExecutor:
    @pytest.mark.parametrize("insert", [b"INSERT INTO t VALUES (1)", b"INSERT INTO t VALUES (1) RETURNING *"])
    def test_leaves_nothing_to_the_garbage_collector(self, ask, insert):
        """A cycle per request takes a tenth of the node's time."""
        ask(b"CREATE TABLE t (i int)")
        gc.collect()
        gc.disable()
        try:
            assert ask(insert).error is None
            ours = (Lease, ResultLimit, RunningStatement)
            assert not [found for found in gc.get_objects() if type(found) in ours]
        finally:
            gc.enable()

    def test_greets(self, ask, database):
        before, welcome, after = now(), ask.raw(encode(Greet(region="lax"))), now()
        assert isinstance(welcome, Welcome)
        assert (welcome.region, welcome.databases, welcome.primary_region) == ("syd", [database], "")
        assert welcome.idle_timeout == 60
        assert before <= welcome.clock <= after

    @pytest.mark.parametrize(
        "message",
        [b"", b"\xc1", b"x" * 100, encode(Done()), os.urandom(64)],
        ids=["empty", "unused tag", "text", "a reply", "noise"],
    )
    def test_declines_what_is_no_request(self, ask, message):
        reply = ask.raw(message)
        assert isinstance(reply, Declined)
        assert reply.reason == "bad request"

    def test_returns_the_bytes_that_postgres_sent(self, ask):
        reply = ask(b"SELECT 1, 'a', NULL, true, '{1,2}'::int[], 1.50, 'happy'::text")
        assert rows(reply) == [(b"1", b"a", None, b"t", b"{1,2}", b"1.50", b"happy")]

    def test_returns_the_bytes_of_types_that_the_driver_does_not_know(self, ask):
        ask("CREATE TYPE mood AS ENUM ('sad', 'häppy')".encode())
        for _ in range(2):
            reply = ask("SELECT 'häppy'::mood".encode("latin-1"), encoding="LATIN1")
            assert rows(reply) == [("häppy".encode("latin-1"),)]

    def test_keeps_a_lease_while_a_transaction_is_open(self, ask):
        assert ask(b"CREATE TABLE t ()", preamble=[b"BEGIN"]).lease_open
        assert ask(b"INSERT INTO t DEFAULT VALUES", opens_lease=False).lease_open
        assert not ask(b"COMMIT", opens_lease=False, commits=True).lease_open
        reply = ask(b"SELECT 1", opens_lease=False)
        assert reply.reason == "lost"

    def test_runs_several_statements_up_to_the_first_error(self, ask):
        ask(b"CREATE TABLE t (i int PRIMARY KEY)")
        reply = ask(*(b"INSERT INTO t VALUES (%d)" % i for i in (1, 2, 1, 3)))
        assert reply.error.sqlstate == "23505"
        assert reply.position is not None
        assert rows(ask(b"SELECT count(*) FROM t")) == [(b"2",)]
        assert ask(b"INSERT INTO t VALUES (8)", b"INSERT INTO t VALUES (9)").result.row_count == 2

    def test_rolls_back_when_its_peer_is_gone(self, ask, cluster, database):
        ask(b"CREATE TABLE t ()", preamble=[b"BEGIN"])
        ask.gone()
        with cluster.primary.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('t')")
            assert cursor.fetchone() == (None,)

    def test_can_be_told_to_let_go(self, ask):
        ask(b"SELECT 1", keeps_lease=True)
        assert isinstance(ask.raw(encode(Release())), Done)
        assert ask(b"SELECT 1", opens_lease=False).reason == "lost"

    def test_ignores_a_cancel_of_what_is_not_there(self, ask):
        assert isinstance(ask.raw(encode(Cancel(lease=b"nobody's"))), Done)

    def test_does_not_start_what_comes_too_late(self, ask):
        assert ask(b"CREATE TABLE t ()", timeout=0.0).reason == "expired"
        assert ask(b"CREATE TABLE t ()", begin_by=now() - 0.001).reason == "expired"
        assert ask(b"CREATE TABLE t ()", begin_by=now() + 10, timeout=None).error is None

    @pytest.mark.parametrize("statement", [b"COMMIT", b"INSERT INTO t VALUES (2)", b"ROLLBACK"])
    def test_rolls_a_transaction_back_whose_next_request_comes_too_late(self, ask, statement):
        ask(b"CREATE TABLE t (i int)")
        ask(b"INSERT INTO t VALUES (1)", preamble=[b"BEGIN"])
        late = {"opens_lease": False, "commits": statement == b"COMMIT", "begin_by": now() - 0.001}
        assert ask(statement, **late).reason == "lost"
        assert ask(b"COMMIT", opens_lease=False, commits=True).reason == "lost"
        assert rows(ask(b"SELECT count(*) FROM t")) == [(b"0",)]

    def test_commits_late_if_the_caller_has_no_limit(self, ask):
        ask(b"CREATE TABLE t (i int)")
        ask(b"INSERT INTO t VALUES (1)", preamble=[b"BEGIN"])
        assert ask(b"COMMIT", opens_lease=False, commits=True, timeout=0.0).error is None
        assert rows(ask(b"SELECT count(*) FROM t")) == [(b"1",)]

    def test_cancels_what_runs_when_the_caller_gives_up(self, ask):
        reply = ask(b"SELECT pg_sleep(60)", begin_by=now() + 1)
        assert reply.error.sqlstate == "57014"

    @pytest.mark.parametrize(("begin", "stored"), [([], b"1"), ([b"BEGIN"], b"0")])
    def test_begins_no_statement_of_a_batch_too_late(self, ask, executor, monkeypatch, begin, stored):
        """Whatever becomes of the cancellation of the one before it."""
        ask(b"CREATE TABLE t (i int)")
        monkeypatch.setattr(executor._watchdog, "begin", lambda _running: None)
        batch = [b"INSERT INTO t SELECT 1 FROM pg_sleep(1.1)", b"INSERT INTO t VALUES (2)"]
        reply = ask(*batch, preamble=begin, begin_by=now() + 1)
        if begin:
            assert reply.reason == "expired"
        else:
            assert (reply.error.sqlstate, reply.position is not None) == ("57014", True)
            assert "timeout" in reply.error.message
        monkeypatch.undo()
        assert rows(ask(b"SELECT count(*) FROM t")) == [(stored,)]

    def test_begins_nothing_for_a_caller_that_gave_up_while_it_got_a_connection(self, ask, pool, monkeypatch):
        acquire = pool.acquire

        def slowly(*arguments, **options):
            connection = acquire(*arguments, **options)
            time.sleep(0.1)
            return connection

        monkeypatch.setattr(pool, "acquire", slowly)
        assert ask(b"CREATE TABLE t ()", begin_by=now() + 0.05).reason == "expired"
        monkeypatch.undo()
        assert rows(ask(b"SELECT to_regclass('t')")) == [(None,)]

    def test_cancels_nothing_too_late(self, ask, executor, monkeypatch):
        cancelled = []
        monkeypatch.setattr(executor, "cancel", lambda lease, _deadline: cancelled.append(lease))
        ask.raw(encode(Cancel(lease=b"late", begin_by=now() - 0.001)))
        ask.raw(encode(Cancel(lease=b"in time", begin_by=now() + 10)))
        assert cancelled == [b"in time"]

    def test_says_that_the_statement_ran_when_its_result_is_too_long(self, ask, monkeypatch):
        monkeypatch.setattr("fly_orm.serving.replies.MAX_MESSAGE_BYTES", 20_000)
        ask(b"CREATE TABLE t (i int)")
        reply = ask(b"INSERT INTO t SELECT generate_series(1, 9999) RETURNING i")
        assert "was executed" in reply.error.message
        assert reply.position is not None
        assert rows(ask(b"SELECT count(*) FROM t")) == [(b"9999",)]

    @pytest.mark.parametrize("commits", [False, True])
    def test_tells_that_a_transaction_is_lost_with_its_connection(self, ask, cluster, commits):
        pid = int(rows(ask(b"SELECT pg_backend_pid()", preamble=[b"BEGIN"]))[0][0])
        cluster.primary.query(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert ask(b"COMMIT" if commits else b"SELECT 1", opens_lease=False, commits=commits).reason == "lost"
        assert ask(b"SELECT 1", opens_lease=False).reason == "lost"

    def test_does_not_know_what_became_of_a_statement_that_broke_its_connection(self, ask):
        reply = ask(b"SELECT pg_terminate_backend(pg_backend_pid(), 10000)")
        assert (reply.reason, reply.ended) == ("unknown", True)
        assert rows(ask(b"SELECT 1")) == [(b"1",)]

    def test_does_not_know_either_whether_a_statement_goes_on_whose_connection_it_had_to_end(self, ask, executor):
        sleeping = in_thread(ask, b"SELECT pg_sleep(60)")
        until(lambda: executor._leases and next(iter(executor._leases.values()))._running)
        for lease in list(executor._leases.values()):
            lease.break_off()
        reply = sleeping.result(10)
        assert (reply.reason, reply.ended) == ("unknown", False)

    def test_says_that_the_primary_cannot_be_reached(self, database):
        def connect():
            raise psycopg2.OperationalError("connection refused")

        pool = PrimaryPool(database, connect, max_size=1)
        executor = Executor("syd", [pool], NoCalls())
        run = Run(database=database, lease=LEASE, opens_lease=True, statements=[b"SELECT 1"])
        reply = decode_reply(ChannelExecutor(executor).respond(encode(run)))
        assert reply.reason == "unavailable"
        assert "connection refused" in reply.message
        executor.close()


def test_a_node_that_stops_waits_for_a_transaction_that_it_has_just_accepted(executor, ask, pool, monkeypatch):
    acquiring, going_on, acquire = threading.Event(), threading.Event(), pool.acquire

    def slowly(*args, **options):
        acquiring.set()
        assert going_on.wait(HELD_TIMEOUT)
        return acquire(*args, **options)

    monkeypatch.setattr(pool, "acquire", slowly)
    beginning = in_thread(ask, b"BEGIN", keeps_lease=True)
    assert acquiring.wait(HELD_TIMEOUT)
    draining = in_thread(executor.drain, 3 * HELD_TIMEOUT)
    until(lambda: executor.draining)
    assert goes_on(draining), "it has forgotten the request that was waiting for a connection"
    going_on.set()
    assert result(beginning, HELD_TIMEOUT).lease_open
    assert goes_on(draining)
    ask(b"COMMIT", opens_lease=False)
    result(draining, HELD_TIMEOUT)
