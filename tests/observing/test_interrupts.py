"""What a signal handler raises in a caller, whenever it does, leaves the next statements observed."""

from __future__ import annotations

from typing import Any

import pytest

import fly_orm
from fly_orm.observing import StatementServed
from fly_orm.testing.contract.interrupting import at_every_moment
from tests.observing.heard import Heard
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize("region", ["lax", "syd"])
def test_at_any_moment_of_a_read(regions: TwoRegions, region: str) -> None:
    db: Any = getattr(regions, region)()
    heard = Heard()
    with fly_orm.observe(heard):
        for _ in at_every_moment(lambda: db.execute_sql("SELECT 1")):
            heard.events.clear()
            db.execute_sql("SELECT 'next'")
            assert [each.command for each in heard.of(StatementServed)] == ["SELECT"]
