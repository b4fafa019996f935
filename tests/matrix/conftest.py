"""One node, and the links to it, for the cells of a module."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from fly_orm.testing import Cluster
from tests.matrix.world import World, world
from tests.support.shared_cluster import drop_database, make_database, restore


@pytest.fixture(scope="module")
def here(cluster: Cluster) -> Iterator[World]:
    restore(cluster)  # this comes before what is done for each test
    name = make_database(cluster)
    with pytest.MonkeyPatch.context() as patch, world(cluster, name) as made:
        # Callers try the nodes in the order in which they know them.
        patch.setattr("fly_orm.forwarding.directory.random.sample", lambda nodes, _count: list(nodes))
        patch.setattr("fly_orm.forwarding.primary.random", SimpleNamespace(choice=lambda nodes: nodes[0]))
        yield made
    restore(cluster)
    drop_database(cluster, name)
