"""What every waiter keeps to, on a real replica; the native one where there is a PostgreSQL 19."""

from __future__ import annotations

import os
import threading
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2 import extensions as ext

from fly_orm.deadline import Deadline, now
from fly_orm.errors import ConfigurationError, NotAReplica, ReplicationTimeout
from fly_orm.lsn import LSN
from fly_orm.registry import make_waiter
from fly_orm.testing import Cluster, Wan
from fly_orm.waiters import AutomaticWaiter, NativeWaiter, PollingWaiter, polling
from fly_orm.waiters.automatic import choose
from fly_orm.waiters.native import NativeStrategy
from fly_orm.waiters.polling import PollingStrategy
from fly_orm.waiters.strategy import REPLAY_QUERY
from tests.support import postgres19
from tests.support.shared_cluster import restore

FAR = LSN(2**63)


class Interrupted(BaseException):
    """As KeyboardInterrupt is."""


class Connecting:
    """Opens connections to a server and keeps them in view; calls ``asked`` after each query on one of them."""

    def __init__(self, server):
        self.server = server
        self.opened = []
        self.queries = []
        self.asked = lambda: None

    def __call__(self):
        made = self.server.connect()
        made.cursor_factory = self.cursor
        self.opened.append(made)
        return made

    def cursor(self, *args, **kwargs):
        made = _Watched(*args, **kwargs)
        made.connecting = self
        return made

    @property
    def open(self):
        return [made for made in self.opened if not made.closed]


class _Watched(ext.cursor):
    def execute(self, sql, *args):
        self.connecting.queries.append(sql)
        super().execute(sql, *args)
        self.connecting.asked()


@pytest.fixture(scope="module")
def cluster_19():
    programs = postgres19.find_programs()
    if programs is None:
        pytest.skip(postgres19.NOT_FOUND)
    with Cluster.start(programs=programs) as cluster:
        yield cluster


@pytest.fixture(params=[PollingWaiter, NativeWaiter])
def kind(request):
    return request.param


@pytest.fixture
def cluster(kind, cluster, request):
    """One that this kind of waiter works with."""
    if kind is PollingWaiter:
        return cluster
    newest = request.getfixturevalue("cluster_19")
    restore(newest)
    return newest


@pytest.fixture
def own_cluster(kind, cluster):
    """One that the test may promote."""
    with Cluster.start(programs=None if kind is PollingWaiter else postgres19.find_programs()) as own:
        yield own


@pytest.fixture
def connect(cluster):
    connecting = Connecting(cluster.replica)
    yield connecting
    for connection in connecting.opened:
        connection.close()


@pytest.fixture
def waiter(kind, connect):
    with closing(kind(connect)) as made:
        yield made


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
        except (Exception, Interrupted) as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def waiting(waiter, lsn, timeout=30):
    """A thread that waits, in line by now unless it need not be; and what it got."""
    before = len(waiter._queue)
    thread, got = in_thread(lambda: waiter.wait(lsn, Deadline.after(timeout)))
    until(lambda: got or len(waiter._queue) > before)
    return thread, got


def until(condition):
    while not condition():
        threading.Event().wait(0.001)


def is_newest(cluster):
    return int(cluster.replica.query("SHOW server_version_num")) >= 190000


@contextmanager
def blocking():
    """A function for ``Connecting.asked`` that holds up the first who calls it, and what lets that go on."""
    reached, go_on = threading.Event(), threading.Event()

    def hold():
        reached.set()
        go_on.wait()

    try:
        yield hold, reached, go_on
    finally:
        go_on.set()


class TestReached:
    def test_what_is_known_to_be_replayed_needs_no_query(self, cluster, waiter, connect):
        lsn = write(cluster)
        assert waiter.wait(lsn, Deadline.after(10)) >= lsn
        asked = len(connect.queries)
        assert waiter.wait(lsn, Deadline.after(0)) >= lsn
        assert len(connect.queries) == asked

    def test_a_wait_ends_when_replay_goes_on(self, cluster, waiter):
        with cluster.replay_paused():
            lsn = write(cluster)
            thread, got = waiting(waiter, lsn)
            assert got == []
        thread.join()
        assert got[0] >= lsn

    def test_a_thousand_threads_share_a_connection_and_wake_when_their_own_commit_is_replayed(
        self, cluster, waiter, connect
    ):
        with cluster.replay_paused():
            lsns = [write(cluster) for _ in range(10)]
            threads = [in_thread(lambda lsn=lsns[n % 10]: waiter.wait(lsn, Deadline.after(60))) for n in range(1000)]
            never = waiting(waiter, FAR, 60)
            until(lambda: len(waiter._queue) == 1001)
            assert all(got == [] for _, got in threads)
        for thread, _ in threads:
            thread.join()
        assert all(got[0] >= lsns[n % 10] for n, (_, got) in enumerate(threads))
        assert never[1] == []
        waiter.close()
        never[0].join()
        assert len(connect.opened) == 1
        assert len(waiter._queue) == 0

    def test_a_lower_one_that_comes_later_is_not_kept_waiting_for_a_higher_one(self, cluster, waiter, connect):
        with cluster.replay_paused():
            far = waiting(waiter, FAR)
            until(lambda: len(connect.queries) > 1)
            lsn = write(cluster)
            near = waiting(waiter, lsn, 10)
        near[0].join()
        assert near[1][0] >= lsn
        assert far[1] == []
        waiter.close()
        far[0].join()

    def test_writers_by_the_dozen_all_see_their_commits(self, cluster, waiter, connect):
        def work():
            for _ in range(20):
                lsn = write(cluster)
                assert waiter.wait(lsn, Deadline.after(30)) >= lsn

        threads = [in_thread(work) for _ in range(12)]
        for thread, got in threads:
            thread.join()
            assert got == [None]
        assert len(connect.opened) == 1


class TestLate:
    def test_a_late_replica_is_a_timeout_that_says_so(self, cluster, waiter):
        with cluster.replay_paused():
            lsn = write(cluster)
            started = now()
            with pytest.raises(
                ReplicationTimeout, match=r"committed at .* has replayed only .* after 0\.05 s"
            ) as caught:
                waiter.wait(lsn, Deadline.after(0.05))
        assert now() - started >= 0.05
        assert caught.value.lsn == lsn
        assert caught.value.replayed < lsn

    def test_a_timeout_of_zero_asks_once(self, cluster, waiter, connect):
        with cluster.replay_paused():
            lsn = write(cluster)
            for asked in (1, 2):
                with pytest.raises(ReplicationTimeout):
                    waiter.wait(lsn, Deadline.after(0))
                assert connect.queries == [REPLAY_QUERY] * asked

    def test_one_that_gives_up_leaves_the_others_waiting(self, cluster, waiter):
        with cluster.replay_paused():
            lsn = write(cluster)
            asking = waiting(waiter, lsn, 0.2)
            patient = waiting(waiter, lsn)
            hasty = waiting(waiter, lsn, 0.02)
            hasty[0].join()
            asking[0].join()
            assert isinstance(hasty[1][0], ReplicationTimeout)
            assert isinstance(asking[1][0], ReplicationTimeout)
            assert patient[1] == []
        patient[0].join()
        assert patient[1][0] >= lsn

    def test_one_that_is_interrupted_while_it_asks_for_all_hands_over(self, cluster, waiter, connect):
        with cluster.replay_paused(), blocking() as (hold, reached, go_on):
            lsn = write(cluster)
            connect.asked = hold
            asking = waiting(waiter, lsn)
            reached.wait()
            others = [waiting(waiter, lsn) for _ in range(3)]

            def interrupt():
                connect.asked = lambda: None
                raise Interrupted

            connect.asked = interrupt
            go_on.set()
            asking[0].join()
            assert isinstance(asking[1][0], Interrupted)
        for thread, got in others:
            thread.join()
            assert got[0] >= lsn

    def test_one_whose_connection_cannot_be_opened_hands_over(self, cluster, kind, connect):
        failing = [Interrupted()]

        def sometimes():
            if failing:
                raise failing.pop()
            return connect()

        with closing(kind(sometimes)) as waiter:
            lsn = write(cluster)
            with pytest.raises(Interrupted):
                waiter.wait(lsn, Deadline.after(10))
            assert waiter.wait(lsn, Deadline.after(10)) >= lsn

    def test_nobody_waiting_means_no_query(self, cluster, waiter, connect):
        waiter.wait(write(cluster), Deadline.after(10))
        with cluster.replay_paused(), pytest.raises(ReplicationTimeout):
            waiter.wait(FAR, Deadline.after(0.1))
        pid = connect.opened[0].get_backend_pid()

        def last_query():
            return cluster.replica.query(f"SELECT state || query_start::text FROM pg_stat_activity WHERE pid = {pid}")

        before = last_query()
        write(cluster)
        cluster.wait_for_replica()
        threading.Event().wait(0.2)  # long enough for hundreds of polls
        assert last_query() == before
        assert before.startswith("idle")


class TestAnotherServer:
    def test_a_primary_is_not_a_replica(self, cluster, kind):
        with closing(kind(cluster.primary.connect)) as waiter, pytest.raises(NotAReplica):
            waiter.wait(LSN(1), Deadline.after(10))

    def test_a_replica_that_is_promoted_meanwhile_is_no_longer_one(self, own_cluster, kind):
        connect = Connecting(own_cluster.replica)
        with closing(kind(connect)) as waiter:
            threads = [waiting(waiter, FAR) for _ in range(3)]
            until(lambda: len(connect.queries) > 1)
            own_cluster.promote()
            for thread, got in threads:
                thread.join()
                assert isinstance(got[0], NotAReplica)
            with pytest.raises(NotAReplica):
                waiter.wait(FAR, Deadline.after(10))

    def test_a_connection_that_is_lost_between_waits_is_opened_again(self, cluster, waiter, connect):
        waiter.wait(write(cluster), Deadline.after(10))
        cluster.replica.query(f"SELECT pg_terminate_backend({connect.opened[0].get_backend_pid()})")
        lsn = write(cluster)
        assert waiter.wait(lsn, Deadline.after(10)) >= lsn
        assert len(connect.opened) == 2

    def test_one_that_is_lost_during_a_wait_is_opened_again(self, cluster, waiter, connect):
        with cluster.replay_paused():
            lsn = write(cluster)
            threads = [waiting(waiter, lsn) for _ in range(3)]
            until(lambda: len(connect.queries) > 1)
            cluster.replica.query(f"SELECT pg_terminate_backend({connect.opened[0].get_backend_pid()})")
            until(lambda: len(connect.opened) == 2)
        for thread, got in threads:
            thread.join()
            assert got[0] >= lsn
        assert len(connect.open) == 1

    def test_what_a_replica_had_replayed_before_it_crashed_is_asked_again(self, cluster, waiter):
        lsn = write(cluster)
        waiter.wait(lsn, Deadline.after(10))
        cluster.replica.stop("immediate")
        with pytest.raises(ReplicationTimeout, match="cannot be asked"):
            waiter.wait(lsn, Deadline.after(1))
        cluster.replica.start()
        assert waiter.wait(lsn, Deadline.after(10)) >= lsn

    def test_one_that_stops_during_a_wait_cannot_be_asked_and_can_when_it_is_back(self, cluster, waiter, connect):
        with cluster.replay_paused():
            lsn = write(cluster)
            threads = [waiting(waiter, lsn) for _ in range(3)]
            until(lambda: len(connect.queries) > 1)
            cluster.replica.stop("immediate")
            for thread, got in threads:
                thread.join()
                assert isinstance(got[0], ReplicationTimeout)
                assert "cannot be asked" in str(got[0])
            cluster.replica.start()
        assert waiter.wait(lsn, Deadline.after(10)) >= lsn

    def test_one_that_cannot_be_reached_is_not_waited_for(self, kind):
        def refuse():
            raise psycopg2.OperationalError("connection refused")

        message = r"cannot be asked .* connection refused"
        with closing(kind(refuse)) as waiter, pytest.raises(ReplicationTimeout, match=message):
            waiter.wait(LSN(1), Deadline.after(60))

    @pytest.mark.parametrize("weather", ["stall", "deaf"])
    def test_one_that_does_not_answer_is_not_waited_for(self, cluster, kind, weather):
        with through_a_network(cluster, kind) as (wan, waiter):
            reached = waiter.wait(write(cluster), Deadline.after(10))
            getattr(wan, weather)()
            asking = waiting(waiter, FAR, 0.5)
            behind = waiting(waiter, FAR, 0.1)
            behind[0].join()
            assert "has replayed only" in str(behind[1][0])
            asking[0].join()
            assert isinstance(asking[1][0], ReplicationTimeout)
            assert "cannot be asked" in str(asking[1][0])
            wan.heal()
            assert waiter.wait(write(cluster), Deadline.after(10)) > reached


@contextmanager
def through_a_network(cluster, kind):
    server = cluster.replica
    with Wan(f"{server.host}/.s.PGSQL.{server.port}") as wan:
        host, port = wan.address.rsplit(":", 1)
        given = {**server.params(), "host": host, "port": port}

        def connect():
            made = psycopg2.connect(**given)
            made.autocommit = True
            return made

        with closing(kind(connect)) as waiter:
            yield wan, waiter


class TestClosing:
    def test_ends_the_waits_that_are_under_way_and_those_to_come(self, cluster, waiter, connect):
        threads = [waiting(waiter, FAR, None) for _ in range(3)]
        until(lambda: len(connect.queries) > 1)
        waiter.close()
        for thread, got in threads:
            thread.join()
            assert isinstance(got[0], ReplicationTimeout)
            assert "was closed" in str(got[0])
        with pytest.raises(ReplicationTimeout, match="was closed"):
            waiter.wait(FAR, Deadline.after(10))
        assert len(connect.opened) == 1
        assert connect.open == []

    def test_does_not_wait_for_a_server_that_does_not_answer(self, cluster, kind):
        with through_a_network(cluster, kind) as (wan, waiter):
            waiter.wait(write(cluster), Deadline.after(10))
            wan.stall()
            thread, got = waiting(waiter, FAR, None)
            waiter.close()
            thread.join()
            assert "was closed" in str(got[0])

    def test_closes_a_connection_that_is_being_opened(self, kind, cluster, connect):
        with blocking() as (hold, reached, go_on):

            def slowly():
                made = connect()
                hold()
                return made

            waiter = kind(slowly)
            thread, got = waiting(waiter, FAR)
            reached.wait()
            waiter.close()
            go_on.set()
            thread.join()
        assert "was closed" in str(got[0])
        assert connect.open == []

    def test_twice_is_fine(self, waiter):
        waiter.close()
        waiter.close()


def test_a_forked_child_with_a_waiter_of_its_own_leaves_its_parents_wait_alone(cluster, kind, waiter, connect):
    with cluster.replay_paused():
        lsn = write(cluster)
        thread, got = waiting(waiter, lsn)
        until(lambda: len(connect.queries) > 1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                own = kind(cluster.replica.connect)
                try:
                    own.wait(lsn, Deadline.after(0.1))
                except ReplicationTimeout:
                    status = 0
                own.close()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert got[0] >= lsn
    assert len(connect.opened) == 1


class TestPolling:
    """What only the polling waiter has to keep to."""

    @pytest.fixture
    def kind(self):
        return PollingWaiter

    @pytest.fixture(autouse=True)
    def _asleep(self, monkeypatch):
        monkeypatch.setattr(polling, "SHORTEST_SLEEP", 100.0)
        monkeypatch.setattr(polling, "LONGEST_SLEEP", 100.0)

    def test_one_that_comes_while_it_sleeps_wakes_it(self, cluster, waiter, connect):
        with cluster.replay_paused():
            lsn = write(cluster)
            far = waiting(waiter, FAR)
            until(lambda: len(connect.queries) == 1)
        cluster.wait_for_replica()
        near = waiting(waiter, lsn)
        near[0].join()
        assert near[1][0] >= lsn
        waiter.close()
        far[0].join()

    def test_closing_wakes_it(self, waiter, connect):
        thread, got = waiting(waiter, FAR)
        until(lambda: len(connect.queries) == 1)
        waiter.close()
        thread.join()
        assert "was closed" in str(got[0])


class TestNative:
    """What only the native waiter has to keep to."""

    @pytest.fixture
    def kind(self):
        return NativeWaiter

    def test_it_asks_the_server_to_wait_and_holds_no_snapshot(self, cluster, waiter, connect):
        with cluster.replay_paused():
            lsn = write(cluster)
            thread, _ = waiting(waiter, lsn)
            state = "SELECT wait_event, backend_xmin::text FROM pg_stat_activity WHERE pid = %s"
            with cluster.replica.connect() as beside, beside.cursor() as cursor:

                def waits():
                    cursor.execute(state, (connect.opened[0].get_backend_pid(),))
                    return cursor.fetchone() == ("WaitForWalReplay", None)

                until(lambda: connect.opened and waits())
        thread.join()

    def test_one_wait_of_the_server_is_enough_for_all_that_is_replayed_by_then(self, cluster, waiter, connect):
        waiter.wait(write(cluster), Deadline.after(10))
        with cluster.replay_paused(), blocking() as (hold, reached, go_on):
            first, second = write(cluster), write(cluster)
            connect.asked = hold
            threads = [waiting(waiter, first)]
            reached.wait()
            threads += [waiting(waiter, lsn) for lsn in (second, first)]
            cluster.resume_replay()
            cluster.wait_for_replica()
            connect.queries.clear()
            go_on.set()
            for thread, _ in threads:
                thread.join()
        assert len(connect.queries) == 1
        assert f"'{first}'" in connect.queries[0]

    def test_a_statement_timeout_shorter_than_its_waits_costs_only_connections(self, cluster, kind):
        def connect():
            made = psycopg2.connect(**cluster.replica.params(), options="-c statement_timeout=20")
            made.autocommit = True
            return made

        with closing(kind(connect)) as waiter:
            with cluster.replay_paused():
                lsn = write(cluster)
                with pytest.raises(ReplicationTimeout, match="has replayed only"):
                    waiter.wait(lsn, Deadline.after(0.2))
                thread, got = waiting(waiter, lsn)
            thread.join()
            assert got[0] >= lsn

    def test_repeatable_read_by_default_is_no_hindrance(self, cluster, kind):
        def connect():
            options = r"-c default_transaction_isolation=repeatable\ read"
            made = psycopg2.connect(**cluster.replica.params(), options=options)
            made.autocommit = True
            return made

        with closing(kind(connect)) as waiter:
            with cluster.replay_paused():
                lsn = write(cluster)
                thread, got = waiting(waiter, lsn)
            thread.join()
            assert got[0] >= lsn


@pytest.mark.parametrize(("left", "milliseconds"), [(None, 50), (30.0, 50), (0.03, 30), (0.0101, 11), (0.0000001, 1)])
def test_a_native_wait_has_a_limit_that_postgres_takes_for_one(left, milliseconds):
    query = NativeStrategy().query(LSN.parse("AB/12"), left)
    assert query == f"WAIT FOR LSN 'AB/12' WITH (TIMEOUT '{milliseconds}ms', NO_THROW); {REPLAY_QUERY}"


class TestChoice:
    @pytest.mark.parametrize(
        ("version", "strategy"),
        [
            (140012, PollingStrategy),
            (180006, PollingStrategy),
            (190000, NativeStrategy),
            (190001, NativeStrategy),
            (200000, NativeStrategy),
        ],
    )
    def test_the_version_decides(self, version, strategy):
        assert isinstance(choose(version), strategy)

    def test_auto_does_what_the_server_can(self, cluster, connect):
        with closing(make_waiter("auto", connect)) as waiter, pytest.raises(ReplicationTimeout):
            waiter.wait(FAR, Deadline.after(0.05))
        assert any(query.startswith("WAIT FOR") for query in connect.queries) == is_newest(cluster)


class TestOnAnOlderServer:
    @pytest.fixture
    def kind(self):
        return PollingWaiter

    def test_auto_goes_on_when_a_reconnection_reaches_another_version(self, cluster, cluster_19, connect):
        with closing(AutomaticWaiter(connect)) as waiter:
            for server in (cluster.replica, cluster_19.replica, cluster.replica):
                connect.server = server
                for connection in connect.open:
                    connection.close()
                with pytest.raises(ReplicationTimeout, match="has replayed only"):
                    waiter.wait(FAR, Deadline.after(0.05))
        assert len(connect.opened) == 3

    def test_native_says_what_it_needs_and_what_to_set(self, cluster, connect):
        if is_newest(cluster):
            pytest.skip("the server is not too old")
        with closing(NativeWaiter(connect)) as waiter:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"needs PostgreSQL 19 .* is \d+; set FLY_ORM_WAITER"):
                    waiter.wait(LSN(1), Deadline.after(10))
