"""Two regions for the tests that ask for them, with each transport between them where that is asked for."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg2 import extras

from fly_orm.postgres.primary_pool import PrimaryPool
from fly_orm.settings import Settings
from fly_orm.testing import Cluster
from tests.support.over import TRANSPORTS, is_surplus, over
from tests.support.shared_cluster import drop_database, make_database, restore
from tests.support.side_by_side import SideBySide
from tests.support.two_regions import AMPLE, TwoRegions, two_regions

pytest_plugins = ["tests.support.fixtures"]

if "CI" not in os.environ and not all(map(find_spec, ("opentelemetry", "prometheus_client"))):
    collect_ignore = ["otel", "prometheus", "project/test_monitoring.py"]  # an environment from before these extras

# Where the shell has started the tests in the background, SIGINT is ignored, and would be in all processes they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow to make an example, and slow to run it.
hypothesis_settings.register_profile(
    "busy", hypothesis_settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("busy")


@pytest.fixture(scope="session")
def json_loads() -> Callable[[str], Any]:
    """What the driver makes of JSON. The tests of Pony have another one."""
    return json.loads


@pytest.fixture(autouse=True)
def _json(json_loads: Callable[[str], Any]) -> None:
    """Have the driver return JSON as it does by default: Pony, once imported, changes that for the whole process."""
    extras.register_default_json(globally=True, loads=json_loads)
    extras.register_default_jsonb(globally=True, loads=json_loads)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-transport", action="store_true", help="run over every transport what is usually sampled")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a marked module that have anything between the regions over each transport.

    What has run over one transport is slow over another, unless the mark says ``quick``.
    """
    mark = metafunc.definition.get_closest_marker("over_every_transport")
    if mark and "transport_between" in metafunc.fixturenames:
        quick = TRANSPORTS if mark.kwargs.get("quick") else [Settings.transport]
        each = [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in TRANSPORTS]
        metafunc.parametrize("transport_between", each, indirect=True, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the other transports, leave to each test only one, unless its mark says ``quick``."""
    if not config.getoption("--every-transport", default=False):
        config.hook.pytest_deselected(items=[item for item in items if is_surplus(item)])
        items[:] = [item for item in items if not is_surplus(item)]


@pytest.fixture(scope="module")
def transport_between(request: pytest.FixtureRequest) -> Iterator[str]:
    """The transport between the regions, by name."""
    transport = getattr(request, "param", Settings.transport)
    with pytest.MonkeyPatch.context() as patch, over(transport):
        if transport == "nats":
            patch.setenv("NATS_URL", request.getfixturevalue("nats").url)
        yield transport


@pytest.fixture
def regions(cluster: Cluster, database: str, transport_between: str) -> Iterator[TwoRegions]:
    """Two regions on an empty database, one of them served by a node."""
    with two_regions(cluster, database) as both:
        yield both


@pytest.fixture
def no_spare_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open channels only for what the test does: others would be counted as well, or meet the fault that it orders."""
    monkeypatch.setattr("fly_orm.forwarding.channels.READY_CHANNELS", 0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests fail at once when nodes that have accepted requests accept none any more."""
    monkeypatch.setattr("fly_orm.forwarding.interruption.PATIENCE", 0.0)


@pytest.fixture
def time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes stop what runs half a second before its caller stops waiting, to answer in time on a busy machine."""
    monkeypatch.setattr("fly_orm.forwarding.sealed_channel._MARGIN", 0.5)


@pytest.fixture
def time_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers and nodes take their time, on a busy machine, to tell what they are."""
    for limit in (
        "serving.inspecting.ANSWER_TIMEOUT",
        "serving.servers.ANSWER_TIMEOUT",
        "serving.executor.ANSWER_TIMEOUT",
        "checking.writability._ANSWER_TIMEOUT",
        "checking.health._LIMIT",
    ):
        monkeypatch.setattr(f"fly_orm.{limit}", AMPLE)


@pytest.fixture(scope="module")
def beside(cluster: Cluster, transport_between: str) -> Iterator[SideBySide]:
    """Compares the two regions, on a database that the tests of a module share."""
    restore(cluster)  # this comes before what is done for each test
    name = make_database(cluster)
    with two_regions(cluster, name) as both:
        yield SideBySide(both)
    restore(cluster)
    drop_database(cluster, name)


@pytest.fixture
def pool(cluster: Cluster, database: str) -> Iterator[PrimaryPool]:
    """Two connections to the primary, for an executor."""
    made = PrimaryPool(database, lambda: cluster.primary.connect(database), max_size=2)
    yield made
    made.close()
