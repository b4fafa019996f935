"""One NATS server for the whole run, and a cluster of two."""

from contextlib import ExitStack

import pytest
from found import FoundRegions, ThroughNats

from tests.support import two_regions
from tests.support.nats_server import nats_cluster

pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture(scope="session")
def two_nats():
    """Two servers that form a cluster."""
    with nats_cluster() as servers:
        yield servers


@pytest.fixture(autouse=True)
def _here(monkeypatch, nats):
    """Transports that are not told otherwise, and the processes that a test starts, connect to the shared server."""
    monkeypatch.setenv("NATS_URL", nats.url)


@pytest.fixture
def regions(cluster, database, monkeypatch):
    """Two regions on an empty database."""
    monkeypatch.setattr(two_regions, "way", ThroughNats())
    with ExitStack() as undo:
        yield FoundRegions(cluster=cluster, name=database, undo=undo)
