"""A function runs as the role of its node; where that role may not do it, the error says so."""

from __future__ import annotations

import peewee
import pytest

import fly_orm
from fly_orm.ledger.table import create_sql
from tests.functions.conftest import bare  # noqa: F401  # a fixture
from tests.support import shop
from tests.support.nodes import url
from tests.support.roles import roles


@pytest.fixture
def clerk(bare, cluster, database):  # noqa: F811
    """The role of the node, which may do nothing with the tables."""
    bare.query(create_sql())
    with roles(cluster, database, "clerk") as [role]:
        node = bare.start(SHOP_URL=url(cluster.primary, database).replace("postgres@", f"{role}@"))
        bare.live_in_lax(node.address())
        yield role
        bare.leave()
        node.kill()


def test_what_the_role_lacks_is_said(clerk, database):
    with pytest.raises(peewee.ProgrammingError, match="permission denied") as caught:
        shop.count()
    assert any("ran as the role that its node logs in as" in note for note in caught.value.__notes__)
    with pytest.raises(ValueError, match="no good") as other:
        shop.fail("value", "no good")
    assert not any("ran as the role" in note for note in other.value.__notes__)
    with pytest.raises(fly_orm.Refused, match=f"--role {clerk}: it was executed as this role"):
        fly_orm.call(fly_orm.PRIMARY, shop.count, exactly_once=database, operation_key="k1")
