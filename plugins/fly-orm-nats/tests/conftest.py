"""One NATS server for the whole run, and a cluster of two."""

import itertools
import os

import pytest
from nats_server import nats_cluster, nats_server
from two_regions import two_regions

from fly_orm.runtime import runtime
from fly_orm.testing import Cluster, PostgresNotFound

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def nats():
    """The shared server. A test that stops one starts its own."""
    with nats_server() as server:
        yield server


@pytest.fixture(scope="session")
def two_nats():
    """Two servers that form a cluster."""
    with nats_cluster() as servers:
        yield servers


@pytest.fixture(autouse=True)
def _here(monkeypatch, nats):
    """Transports that are not told otherwise, and the processes that a test starts, connect to the shared server."""
    monkeypatch.setenv("NATS_URL", nats.url)


@pytest.fixture(scope="session")
def cluster():
    """A primary and a replica that replays what it does."""
    try:
        shared = Cluster.start()
    except PostgresNotFound as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    with shared:
        yield shared


@pytest.fixture
def regions(cluster):
    """Two regions on an empty database."""
    name = f"test_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    with two_regions(cluster, name) as both:
        yield both
    runtime.forget()
    cluster.drop_database(name)
