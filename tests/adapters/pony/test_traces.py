"""What a trace shows of a db_session."""

from __future__ import annotations

from typing import Any

import pytest
from pony import orm

import fly_orm
from tests.support.pony_regions import pony_in_lax, shop
from tests.support.two_regions import TwoRegions, settings


@pytest.mark.parametrize("region", ["lax", "syd"])
def test_a_db_session_that_writes(regions: TwoRegions, region: str) -> None:
    server = regions.cluster.primary if region == "syd" else None
    options: dict[str, Any] = {"settings": settings("syd")} if region == "syd" else {}
    with pony_in_lax(regions, server=server, **options) as database:
        tables = shop(database)
        with fly_orm.trace() as trace, orm.db_session:
            for name in ("a", "b", "c"):
                tables.Owner(name=name)
        if region == "syd":
            assert [each.command for each in trace.statements] == ["INSERT", "INSERT", "INSERT", "COMMIT"]
            assert (trace.local, trace.round_trips) == (4, 0)
        else:
            (batch,) = trace.statements
            assert (batch.command, batch.statements, batch.round_trips) == ("INSERT", 4, 1)
        with fly_orm.trace() as trace, orm.db_session:
            assert tables.Owner.select().count() == 3
        assert [each.command for each in trace.statements][:1] == ["SELECT"]
        assert trace.round_trips == 0
