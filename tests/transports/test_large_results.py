"""A result of several pieces arrives over every transport."""

from __future__ import annotations

import pytest

import fly_orm
from tests.support.two_regions import TwoRegions

pytestmark = pytest.mark.over_every_transport(quick=True)


def test_a_result_in_pieces_arrives(regions: TwoRegions) -> None:
    with fly_orm.primary():
        cursor = regions.lax().execute_sql("SELECT g, repeat('x', 100000) FROM generate_series(1, 50) g")
    assert [(number, len(text)) for number, text in cursor.fetchall()] == [(number, 100_000) for number in range(1, 51)]
