"""What polling and native waits each do in their own way, and which is chosen."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import ConfigurationError, ReplicationTimeout
from fly_orm.lsn import LSN
from fly_orm.registry import make_waiter
from fly_orm.waiters import AutomaticWaiter, NativeWaiter, PollingWaiter, polling
from fly_orm.waiters.automatic import choose
from fly_orm.waiters.native import NativeStrategy
from fly_orm.waiters.polling import PollingStrategy
from fly_orm.waiters.strategy import REPLAY_QUERY
from tests.support.waiting import until
from tests.waiters.watching import FAR, blocking, is_newest, waiting, write


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
        with closing(make_waiter("auto", connect)) as waiter:
            thread, _ = waiting(waiter, FAR)
            until(lambda: len(connect.queries) > 1)
        thread.join()
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
                    waiter.wait(FAR, Deadline.after(0.5))
        assert len(connect.opened) == 3

    def test_native_says_what_it_needs_and_what_to_set(self, cluster, connect):
        if is_newest(cluster):
            pytest.skip("the server is not too old")
        with closing(NativeWaiter(connect)) as waiter:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"needs PostgreSQL 19 .* is \d+; set FLY_ORM_WAITER"):
                    waiter.wait(LSN(1), Deadline.after(10))
