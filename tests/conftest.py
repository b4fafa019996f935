"""One primary and one replica for the whole run, and a fresh database for each test that asks for one."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg2 import extras

from fly_orm.runtime import runtime
from fly_orm.sessions.context import enter
from fly_orm.sessions.session import Session
from fly_orm.settings import Settings
from fly_orm.testing import Cluster, PostgresNotFound
from tests.support.nats_here import nats
from tests.support.over import TRANSPORTS, over
from tests.support.shared_cluster import restore
from tests.support.side_by_side import SideBySide
from tests.support.two_regions import TwoRegions, two_regions

_numbers = itertools.count(1)


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


@pytest.fixture(scope="session")
def json_loads() -> Callable[[str], Any]:
    """What the driver makes of JSON. The tests of Pony have another one."""
    return json.loads


@pytest.fixture(autouse=True)
def _json(json_loads: Callable[[str], Any]) -> None:
    """Have the driver return JSON as it does by default: Pony, once imported, changes that for the whole process."""
    extras.register_default_json(globally=True, loads=json_loads)
    extras.register_default_jsonb(globally=True, loads=json_loads)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database, which the replica has too."""
    name = f"test_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    yield name
    cluster.primary.start()
    cluster.drop_database(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a marked module that have anything between the regions once over each transport."""
    if metafunc.definition.get_closest_marker("over_every_transport") and "transport_between" in metafunc.fixturenames:
        metafunc.parametrize("transport_between", TRANSPORTS, indirect=True, scope="module")


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The shared NATS server."""
    with nats() as url:
        yield url


@pytest.fixture(scope="module")
def transport_between(request: pytest.FixtureRequest) -> Iterator[str]:
    """The transport between the regions, by name."""
    transport = getattr(request, "param", Settings.transport)
    with pytest.MonkeyPatch.context() as patch, over(transport):
        if transport == "nats":
            patch.setenv("NATS_URL", request.getfixturevalue("nats_url"))
        yield transport


@pytest.fixture
def regions(cluster: Cluster, database: str, transport_between: str) -> Iterator[TwoRegions]:
    """Two regions on an empty database, one of them served by a node."""
    with two_regions(cluster, database) as both:
        yield both


@pytest.fixture(scope="module")
def beside(cluster: Cluster, transport_between: str) -> Iterator[SideBySide]:
    """Compares the two regions, on a database that the tests of a module share."""
    restore(cluster)  # this comes before what is done for each test
    name = f"beside_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    with two_regions(cluster, name) as both:
        yield SideBySide(both)
    restore(cluster)
    cluster.drop_database(name)
