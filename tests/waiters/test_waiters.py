"""What every waiter keeps to, on a real replica."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing

import pytest

from fly_orm.deadline import Deadline, now
from fly_orm.errors import ReplicationTimeout
from fly_orm.testing.contract.interrupting import interrupted_at
from fly_orm.waiters.strategy import REPLAY_QUERY
from tests.support.waiting import until
from tests.waiters.watching import FAR, Interrupted, blocking, in_thread, waiting, write


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

    # An interrupt just after the waiter's connection was opened leaves it to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_one_that_is_interrupted_at_any_moment_holds_up_no_other(self, cluster, waiter):
        for moment in itertools.count(1):
            lsn = write(cluster)
            other, got = in_thread(lambda lsn=lsn: waiter.wait(lsn, Deadline.after(30)))
            was_interrupted = interrupted_at(moment, lambda lsn=lsn: waiter.wait(lsn, Deadline.after(30)))
            other.join(5)
            assert [replayed >= lsn for replayed in got] == [True], f"interrupted at moment {moment}"
            assert len(waiter._queue) == 0
            if not was_interrupted:
                break

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
