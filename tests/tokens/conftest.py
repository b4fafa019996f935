"""Two regions with a table of items."""

from __future__ import annotations

import pytest

import fly_orm
from tests.support.two_regions import settings


@pytest.fixture
def configured():
    fly_orm.configure(settings("lax"))


@pytest.fixture
def table(regions):
    regions.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions


@pytest.fixture
def lax(table):
    return table.lax(options={"replication_timeout": 0.2})


@pytest.fixture
def syd(table):
    return table.syd()
