"""A waiter that is closed ends its waits, and a forked process leaves its parent's alone."""

from __future__ import annotations

import os

import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import ReplicationTimeout
from tests.support.waiting import until
from tests.waiters.watching import FAR, blocking, through_a_network, waiting, write


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
