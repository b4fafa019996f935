"""One primary and one replica for the whole run, in the same state before each test."""

from __future__ import annotations

import itertools
import os

import pytest
from two_regions import two_regions

from fly_orm.testing import Cluster, PostgresNotFound

_numbers = itertools.count()


@pytest.fixture(scope="session")
def _cluster():
    try:
        cluster = Cluster.start()
    except PostgresNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    """A primary and its replica, both running, the replica replaying without delay."""
    for server in (_cluster.primary, _cluster.replica):
        if not server.running:
            server.start()
    _cluster.resume_replay()
    return _cluster


@pytest.fixture
def database(cluster):
    """The name of a new database, which the replica has already."""
    name = f"test_{next(_numbers)}"
    cluster.create_database(name)
    cluster.wait_for_replica()
    yield name
    cluster.resume_replay()
    cluster.drop_database(name)


@pytest.fixture
def regions(cluster, database):
    """Two regions on the new database; see two_regions.py."""
    with two_regions(cluster, database) as both:
        yield both
