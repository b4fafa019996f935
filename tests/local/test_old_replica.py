"""A replica that is too old for the configured waiter: applications are told when they connect, before any write."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from playhouse.pool import PooledPostgresqlDatabase

from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings
from fly_orm.waiters.native import OLDEST_VERSION
from tests.support.pony_regions import pony_in_lax
from tests.support.two_regions import TwoRegions

SAYS = r"needs PostgreSQL 19 or later.* is \d+; set FLY_ORM_WAITER to 'auto' or 'polling'"


@pytest.fixture
def native(regions: TwoRegions) -> Settings:
    with regions.cluster.replica.connect() as connection:
        if connection.server_version >= OLDEST_VERSION:
            pytest.skip("the server is not too old")
    return regions.lax_settings(waiter="native")


@pytest.mark.parametrize("kind", [peewee.PostgresqlDatabase, PooledPostgresqlDatabase])
def test_refuses_connections_of_peewee(regions: TwoRegions, native: Settings, kind: Any) -> None:
    db = regions.lax(kind, options={"settings": native, "wait": "none"})
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=SAYS):
            db.connect()
    assert db.is_closed()


def test_refuses_connections_of_pony(regions: TwoRegions, native: Settings) -> None:
    with pytest.raises(ConfigurationError, match=SAYS), pony_in_lax(regions, settings=native):
        pass
