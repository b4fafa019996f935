"""What tests of the local server share."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fly_orm.local import detour, replica
from tests.support.two_regions import TwoRegions


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detour, "RETRY_INTERVAL", 0.05)
    monkeypatch.setattr(replica, "PRIMARY_INTERVAL", 0.05)


@pytest.fixture
def incidents(caplog: pytest.LogCaptureFixture) -> Any:
    """The levels of what was logged about a replica that cannot be reached, or can be again."""
    caplog.set_level(logging.INFO, "fly_orm")
    return lambda: [record.levelname for record in caplog.records if "be reached again" in record.message]


@pytest.fixture
def _table(regions: TwoRegions) -> None:
    regions.query("CREATE TABLE t (id serial PRIMARY KEY, name text)")
    regions.cluster.wait_for_replica()
