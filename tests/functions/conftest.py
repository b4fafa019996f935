"""Functions run on a node in syd, which is a process of its own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from playhouse.db_url import connect

from tests.support import shop
from tests.support.nodes import url
from tests.support.shop_in_lax import Shop


@pytest.fixture
def bare(cluster, database, transport_between):
    """The application's tables, in a database that no node serves."""
    with ExitStack() as undo:
        made = Shop(cluster=cluster, name=database, undo=undo)
        plain = connect(url(cluster.primary, database))
        with plain.bind_ctx(shop.MODELS), plain.connection_context():
            plain.create_tables(shop.MODELS)
        cluster.wait_for_replica()
        yield made


@pytest.fixture
def here(bare):
    """The application in lax, with one node in syd."""
    bare.open()
    return bare
