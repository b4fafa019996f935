"""What every waiter does when the server that it asks is another one, or none."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from fly_orm.deadline import Deadline
from fly_orm.errors import NotAReplica, ReplicationTimeout
from fly_orm.lsn import LSN
from tests.support.waiting import until
from tests.waiters.watching import FAR, Connecting, through_a_network, waiting, write


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
