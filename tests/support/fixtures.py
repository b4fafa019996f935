"""One primary and replica for the whole run, one NATS server, and an empty database for each test that asks for one."""

import os
import sys
from collections.abc import Iterator

import pytest

from fly_orm.runtime import runtime
from fly_orm.sessions.context import enter
from fly_orm.sessions.session import Session
from fly_orm.testing import Cluster, PostgresNotFound
from tests.support import proxies
from tests.support.nats_server import NatsProcess, nats_server
from tests.support.shared_cluster import drop_database, make_database, restore
from tests.support.two_regions import CONNECT_TIMEOUT


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The shared cluster. A test may stop, pause or delay its servers, but promotes only one of its own."""
    try:
        shared = Cluster.start()
    except PostgresNotFound as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with shared:
        yield shared


@pytest.fixture(autouse=True)
def _restored(request: pytest.FixtureRequest) -> None:
    """Undo what the test before has done to the shared cluster, if this one uses it."""
    if "cluster" in request.fixturenames:
        restore(request.getfixturevalue("cluster"))


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    """Each test meets its own environment, and has seen nothing."""
    enter(Session())
    yield
    runtime.forget()
    if (instrumenting := sys.modules.get("fly_orm.prometheus.instrumenting")) is not None:
        instrumenting.forget()


@pytest.fixture(autouse=True)
def _time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer than callers wait for a connection to a node."""
    monkeypatch.setattr("fly_orm.forwarding.channels.CONNECT_TIMEOUT", CONNECT_TIMEOUT)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database, which the replica has too."""
    name = make_database(cluster)
    yield name
    drop_database(cluster, name)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A monitoring agent, whose proxies stand for all connections from now on, and what it sees of the statements."""
    return proxies.install(monkeypatch)


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsProcess]:
    """The shared NATS server. A test that stops one starts its own."""
    with nats_server() as server:
        yield server
