"""Positions in the write-ahead log, as Postgres writes them and in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_orm.lsn import LSN


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_an_lsn_survives_its_text(position):
    assert LSN.parse(str(LSN(position))) == position


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/123456789", "g/0", " 0/1", "0/1 ", "-1/0"])
def test_what_is_no_lsn_is_refused(text):
    with pytest.raises(ValueError, match="not an LSN"):
        LSN.parse(text)


def test_lsns_order_by_position_and_not_by_text():
    assert LSN.parse("0/FFFFFFFF") < LSN.parse("1/0")
    assert LSN.parse("2/0") < LSN.parse("10/0")


def test_only_page_boundaries_end_a_page():
    assert LSN(8192 * 3).ends_page
    assert not LSN(8192 * 3 + 24).ends_page
