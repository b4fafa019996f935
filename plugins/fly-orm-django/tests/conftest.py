"""Two regions: a node in syd, and this process, a Django project in lax."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest

from fly_orm.ledger.table import create_sql
from tests.support.over import over
from tests.support.shared_cluster import make_database, restore
from tests.support.two_regions import Regions, TwoRegions, two_regions

pytest_plugins = ["tests.support.fixtures"]

if "CI" in os.environ or all(map(find_spec, ("django", "fly_orm_django"))):
    from django_regions import alone, in_lax, made_tables, project_node
else:
    collect_ignore_glob = ["test_*.py"]  # an environment from before this plug-in


@pytest.fixture
def tables(cluster: Any, database: str) -> Iterator[str]:
    """The name of a database with the tables of the project."""
    with made_tables(cluster, database) as name:
        yield name


@pytest.fixture
def regions(cluster: Any, tables: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoRegions]:
    """Two regions over TCP, of which the alias ``default`` is in lax."""
    monkeypatch.setattr("fly_orm.forwarding.channels.READY_CHANNELS", 0)  # so that they are not counted
    with two_regions(cluster, tables) as both, in_lax(both, both.wan.address):
        yield both


@pytest.fixture(scope="module", params=["pyro5", "nats"])
def served(request: pytest.FixtureRequest, cluster: Any) -> Iterator[Any]:
    """A node of the project in syd, which the tests of a module share; once over each transport."""
    restore(cluster)
    name = make_database(cluster)
    with ExitStack() as undo:
        undo.callback(cluster.drop_database, name)
        patch = undo.enter_context(pytest.MonkeyPatch.context())
        if request.param == "nats":
            patch.setenv("NATS_URL", request.getfixturevalue("nats").url)
        undo.enter_context(over(request.param))
        undo.enter_context(made_tables(cluster, name))
        with cluster.primary.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute(create_sql())
        node = undo.enter_context(project_node(cluster, name, "--import", "django_shop.functions"))
        yield Regions(cluster=cluster, name=name, undo=undo), node.address()


@pytest.fixture
def project(served: Any) -> Iterator[Regions]:
    """This process in lax, with such a node, and empty tables."""
    both, address = served
    from django_shop.models import Author

    Author.objects.using("primary").all().delete()
    both.cluster.wait_for_replica()
    with alone(), in_lax(both, address):
        yield both
