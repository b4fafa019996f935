"""One NATS server for the whole run, and a cluster of two."""

import pytest

from nats_server import nats_cluster, nats_server


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
