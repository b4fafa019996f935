"""A database with a ledger, in two regions."""

from typing import Any

import pytest

from fly_orm.ledger.table import create_sql
from tests.support.two_regions import TwoRegions


@pytest.fixture
def regions(regions: TwoRegions) -> TwoRegions:
    regions.query(create_sql() + "; CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE)")
    regions.cluster.wait_for_replica()
    return regions


@pytest.fixture
def db(regions: TwoRegions) -> Any:
    """An exactly-once database in lax."""
    return regions.lax(options={"exactly_once": True})
