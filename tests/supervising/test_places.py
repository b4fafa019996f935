"""Workers have the places of their node together: none is lost, and there are never more."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

import fly_orm
from fly_orm.deadline import Deadline
from fly_orm.protocol.messages import Declined, Done, Run
from fly_orm.testing.contract.tools import in_thread
from tests.supervising.conftest import PLACES
from tests.support.two_regions import AMPLE
from tests.support.worker_processes import channel_to, channels_by_worker, until_all_serve, workers_of

#: Connections of fly_orm's own, of each worker (docs/deploy/operating.md).
OWN = 2


@pytest.fixture
def channels(served):
    with ExitStack() as stack:
        yield channels_by_worker(served.address, PLACES, stack)


def begin(channel, database, *, lease, seconds=2 * AMPLE):
    """Begin a transaction, for which a place is needed until it ends."""
    request = Run(database=database, lease=lease, opens_lease=True, preamble=[b"BEGIN"], statements=[b"SELECT 1"])
    return channel.request(request, Deadline.after(seconds))


def has_no_place(channel, database):
    """Whether no place becomes free for a while."""
    try:
        return isinstance(begin(channel, database, lease=b"too many", seconds=1), Declined)
    except fly_orm.OutcomeUnknown:  # the machine is busy
        return True


def end(channel, database, *, lease):
    request = Run(database=database, lease=lease, statements=[b"COMMIT"], commits=True)
    return channel.request(request, Deadline.after(AMPLE))


def connections(cluster, database):
    return cluster.primary.query("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", database)


def test_one_worker_can_use_the_places_that_the_other_does_not(cluster, served, channels):
    leases = [bytes([number]) for number in range(PLACES - 1)]
    for lease, channel in zip(leases, channels[1], strict=False):
        assert isinstance(begin(channel, served.database, lease=lease), Done)
        assert connections(cluster, served.database) <= PLACES + 2 * OWN
    # One is the other worker's for ever.
    assert has_no_place(channels[1][-1], served.database)
    assert isinstance(begin(channels[2][0], served.database, lease=b"other"), Done)
    assert has_no_place(channels[2][-1], served.database)
    # What is given back can be used by the one that waits, whichever worker that is.
    waiting = in_thread(begin, channels[2][1], served.database, lease=b"waits")
    for lease, channel in zip(leases, channels[1], strict=False):
        end(channel, served.database, lease=lease)
    assert isinstance(waiting.result(2 * AMPLE), Done)


def test_there_are_never_more_connections_than_the_node_may_have(cluster, served, channels):
    """While both workers want all of them at once, for a short time each."""
    most = 0

    def work(number, channel):
        for round_ in range(20):
            lease = bytes([number, round_])
            if isinstance(begin(channel, served.database, lease=lease), Done):
                end(channel, served.database, lease=lease)

    working = [
        in_thread(work, number, channel) for number, channel in enumerate([*channels[1], *channels[2][: PLACES // 2]])
    ]
    while not all(each.done() for each in working):
        most = max(most, connections(cluster, served.database))
    for each in working:
        each.result()
    assert 0 < most <= PLACES + 2 * OWN


def test_what_a_worker_borrowed_it_lends_again(served, channels):
    """Each in turn has all but one."""
    for round_ in range(2):
        for worker in (1, 2):
            leases = [bytes([round_, worker, number]) for number in range(PLACES - 1)]
            for lease, channel in zip(leases, channels[worker], strict=False):
                assert isinstance(begin(channel, served.database, lease=lease), Done)
            for lease, channel in zip(leases, channels[worker], strict=False):
                end(channel, served.database, lease=lease)


@pytest.mark.slow
def test_the_places_of_a_worker_that_is_killed_are_free_again(node, cluster, database):
    started = node("--workers=2", f"--pool-size={PLACES}", f"--peer-leases={PLACES}")
    address = started.address()
    until_all_serve(address, 2)
    leases = [bytes([number]) for number in range(PLACES - 1)]
    with ExitStack() as stack:
        for lease, channel in zip(leases, channels_by_worker(address, PLACES, stack)[1], strict=False):
            assert isinstance(begin(channel, database, lease=lease), Done)
        workers_of(started.pid)[0].kill()
    with ExitStack() as stack:
        for lease in leases:
            channel = channel_to(address)
            stack.callback(channel.close)
            assert isinstance(begin(channel, database, lease=b"other" + lease), Done)
    until_all_serve(address, 2)
    assert connections(cluster, database) <= PLACES + 2 * OWN
