"""The polling waiter, on a real replica."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotAReplica, ReplicationTimeout
from fly_orm.lsn import LSN
from fly_orm.testing import Wan
from fly_orm.waiters import PollingWaiter

FAR = LSN(2**63)


class Counting:
    """Opens connections to a server, counting them and the queries that run at the same time."""

    def __init__(self, server):
        self.server = server
        self.opened = []

    def __call__(self):
        self.opened.append(self.server.connect())
        return self.opened[-1]


@pytest.fixture
def connect(cluster):
    counting = Counting(cluster.replica)
    yield counting
    for connection in counting.opened:
        connection.close()


@pytest.fixture
def waiter(connect):
    made = PollingWaiter(connect)
    yield made
    made.close()


def write(cluster):
    """The flush LSN of the primary after something was written."""
    with cluster.primary.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
        cursor.execute("SELECT pg_switch_wal()")
        cursor.execute("SELECT pg_current_wal_flush_lsn()::text")
        return LSN.parse(cursor.fetchone()[0])


def in_thread(call):
    """Run ``call`` in a thread; returns the thread and the list that its result or error lands in."""
    got = []

    def run():
        try:
            got.append(call())
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def until(condition):
    while not condition():
        threading.Event().wait(0.001)


def test_what_is_replayed_already_is_not_waited_for(cluster, waiter, connect):
    lsn = write(cluster)
    assert waiter.wait(lsn, Deadline.after(10)) >= lsn
    connect.server = None  # another connection would fail
    assert waiter.wait(lsn, Deadline.after(0)) >= lsn


def test_a_wait_ends_when_replay_goes_on(cluster, waiter):
    with cluster.replay_paused():
        lsn = write(cluster)
        thread, got = in_thread(lambda: waiter.wait(lsn, Deadline.after(30)))
        until(lambda: waiter._queue)
        assert got == []
    thread.join()
    assert got[0] >= lsn


def test_a_late_replica_is_a_timeout_that_says_so(cluster, waiter):
    with cluster.replay_paused():
        lsn = write(cluster)
        with pytest.raises(ReplicationTimeout, match=r"committed at .* has replayed only .* within 0\.05 s") as caught:
            waiter.wait(lsn, Deadline.after(0.05))
    assert caught.value.lsn == lsn
    assert caught.value.replayed < lsn


def test_a_timeout_of_zero_asks_once(cluster, waiter, connect):
    with cluster.replay_paused():
        lsn = write(cluster)
        with pytest.raises(ReplicationTimeout):
            waiter.wait(lsn, Deadline.after(0))
    assert len(connect.opened) == 1


def test_many_threads_share_one_connection_and_wake_when_their_commit_is_replayed(cluster, waiter, connect):
    with cluster.replay_paused():
        first = write(cluster)
        waits = [in_thread(lambda: waiter.wait(first, Deadline.after(30))) for _ in range(50)]
        never = in_thread(lambda: waiter.wait(FAR, Deadline.after(1)))
        until(lambda: len(waiter._queue) == 51)
    for thread, _ in waits:
        thread.join()
    never[0].join()
    assert all(got[0] >= first for _, got in waits)
    assert isinstance(never[1][0], ReplicationTimeout)
    assert len(connect.opened) == 1
    assert waiter._queue == []
    assert not waiter._polling


def test_one_that_gives_up_leaves_the_others_waiting(cluster, waiter):
    with cluster.replay_paused():
        lsn = write(cluster)
        patient = in_thread(lambda: waiter.wait(lsn, Deadline.after(30)))
        hasty = in_thread(lambda: waiter.wait(lsn, Deadline.after(0.02)))
        hasty[0].join()
        assert isinstance(hasty[1][0], ReplicationTimeout)
        assert patient[1] == []
    patient[0].join()
    assert patient[1][0] >= lsn


def test_nobody_waiting_means_no_query(cluster, waiter, connect):
    waiter.wait(write(cluster), Deadline.after(10))
    pid = connect.opened[0].get_backend_pid()

    def last_query():
        return cluster.replica.query(f"SELECT query_start::text FROM pg_stat_activity WHERE pid = {pid}")

    before = last_query()
    cluster.wait_for_replica()
    threading.Event().wait(0.2)  # long enough for hundreds of polls
    assert last_query() == before


def test_a_primary_is_not_a_replica(cluster):
    waiter = PollingWaiter(cluster.primary.connect)
    with pytest.raises(NotAReplica):
        waiter.wait(LSN(1), Deadline.after(10))
    waiter.close()


def test_a_lost_connection_is_opened_again(cluster, waiter, connect):
    waiter.wait(write(cluster), Deadline.after(10))
    cluster.replica.query(f"SELECT pg_terminate_backend({connect.opened[0].get_backend_pid()})")
    lsn = write(cluster)
    assert waiter.wait(lsn, Deadline.after(10)) >= lsn
    assert len(connect.opened) == 2


def test_what_a_replica_had_replayed_before_it_crashed_is_asked_again(cluster, waiter, connect):
    lsn = write(cluster)
    waiter.wait(lsn, Deadline.after(10))
    cluster.replica.stop("immediate")
    with pytest.raises(ReplicationTimeout, match="cannot be asked"):
        waiter.wait(lsn, Deadline.after(1))
    cluster.replica.start()
    assert waiter.wait(lsn, Deadline.after(10)) >= lsn


def test_a_replica_that_cannot_be_asked_is_not_waited_for():
    def connect():
        raise psycopg2.OperationalError("connection refused")

    with pytest.raises(ReplicationTimeout, match=r"cannot be asked .* connection refused"):
        PollingWaiter(connect).wait(LSN(1), Deadline.after(60))


@pytest.mark.parametrize("weather", ["stall", "deaf"])
def test_a_replica_that_does_not_answer_is_not_waited_for(cluster, weather):
    server = cluster.replica
    with Wan(f"{server.host}/.s.PGSQL.{server.port}") as wan:
        host, port = wan.address.rsplit(":", 1)
        given = {**server.params(), "host": host, "port": port}
        waiter = PollingWaiter(lambda: psycopg2.connect(**given))
        reached = waiter.wait(write(cluster), Deadline.after(10))
        getattr(wan, weather)()
        with pytest.raises(ReplicationTimeout, match="cannot be asked"):
            waiter.wait(FAR, Deadline.after(0.1))
        wan.heal()
        assert waiter.wait(write(cluster), Deadline.after(10)) > reached
        waiter.close()
