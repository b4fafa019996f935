"""Engines in two regions."""

import os
from contextlib import closing
from importlib.util import find_spec

import pytest

from tests.support.over import over
from tests.support.two_regions import two_regions

pytest_plugins = ["tests.support.fixtures"]

if "CI" in os.environ or all(map(find_spec, ("sqlalchemy", "fly_orm_sqlalchemy"))):
    from sqlalchemy_regions import EngineRegions
else:
    collect_ignore_glob = ["test_*.py"]  # an environment from before this plug-in


@pytest.fixture(scope="module")
def transport(request):
    """The transport between the regions, by name."""
    name = getattr(request, "param", "pyro5")
    with pytest.MonkeyPatch.context() as patch, over(name):
        if name == "nats":
            patch.setenv("NATS_URL", request.getfixturevalue("nats").url)
        yield name


@pytest.fixture
def regions(cluster, database, transport):
    """Two regions on an empty database, one of them served by a node."""
    with two_regions(cluster, database) as both, closing(EngineRegions(both)) as engines:
        yield engines


@pytest.fixture
def no_spare_channels(monkeypatch):
    """Open channels only for what the test does: others would be counted as well."""
    monkeypatch.setattr("fly_orm.forwarding.channels.READY_CHANNELS", 0)


@pytest.fixture
def impatient(monkeypatch):
    """Let requests fail at once when nodes that have accepted requests accept none any more."""
    monkeypatch.setattr("fly_orm.forwarding.interruption.PATIENCE", 0.0)
