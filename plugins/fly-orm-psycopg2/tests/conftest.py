"""Two regions: a node in syd, which is a process of its own, and this process in lax."""

from pathlib import Path
from types import SimpleNamespace

import psycopg2_shop
import pytest
from fly_orm_psycopg2 import ExampleFactory

import fly_orm
from tests.support.nodes import node_process, url
from tests.support.two_regions import settings

pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture
def regions(cluster, database):
    """A node that serves the database, and the wrapped factory of a process in lax."""
    primary = ExampleFactory(url(cluster.primary, database))
    primary.connect().cursor().execute("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE)")
    cluster.wait_for_replica()
    folder = Path(psycopg2_shop.__file__).parent
    with node_process("psycopg2_shop:factory", folder=folder, SHOP_URL=url(cluster.primary, database)) as node:
        lax = settings("lax", node.address())
        fly_orm.configure(lax)
        factory = fly_orm.wrap(ExampleFactory(url(cluster.replica, database)))
        yield SimpleNamespace(cluster=cluster, name=database, node=node, primary=primary, factory=factory, lax=lax)
        factory.router.close()


@pytest.fixture
def connection(regions):
    """A connection of lax."""
    connection = regions.factory.connect()
    yield connection
    connection.close()
