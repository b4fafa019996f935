"""Waiters of every kind on a real replica; the native one where there is a PostgreSQL 19."""

from __future__ import annotations

from contextlib import closing

import pytest

from fly_orm.testing import Cluster
from fly_orm.waiters import NativeWaiter, PollingWaiter
from tests.support import postgres19
from tests.support.shared_cluster import restore
from tests.waiters.watching import Connecting


@pytest.fixture(scope="session")
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
