"""LSNs, deadlines, topology: the values that the rest speaks in."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fly_orm
from fly_orm import errors
from fly_orm.deadline import Deadline
from fly_orm.lsn import LSN
from fly_orm.topology import Node, Topology, parse_nodes


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


def test_no_timeout_is_a_deadline_that_never_comes():
    deadline = Deadline.after(None)
    assert deadline.remaining() is None
    assert not deadline.expired
    assert deadline.at == math.inf


def test_a_timeout_of_zero_has_come():
    deadline = Deadline.after(0)
    assert deadline.expired
    assert deadline.remaining() == 0


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan])
def test_a_negative_timeout_is_rejected(timeout):
    with pytest.raises(ValueError, match="0 \\(do not wait\\) or more"):
        Deadline.after(timeout)


def test_within_takes_the_earlier_and_keeps_the_callers_number():
    long, short = Deadline.after(60), Deadline.after(1)
    assert long.within(1).timeout == 1
    assert short.within(60) is short
    assert Deadline.after(None).within(3).timeout == 3


def test_nodes_are_read_by_region():
    nodes = parse_nodes("syd=[::1]:7654 127.0.0.1:7655, lax=host:1,")
    assert nodes["syd"] == (Node(region="syd", address="[::1]:7654"), Node(region="syd", address="127.0.0.1:7655"))
    assert nodes["lax"] == (Node(region="lax", address="host:1"),)
    assert parse_nodes("") == {}


@pytest.mark.parametrize("text", ["127.0.0.1:7654", "syd=", "=host:1", "syd= , lax=a:1"])
def test_nodes_without_region_or_address_are_refused(text):
    with pytest.raises(errors.ConfigurationError, match="REGION=ADDRESS"):
        parse_nodes(text)


def test_a_region_given_twice_is_refused():
    with pytest.raises(errors.ConfigurationError, match="appears twice"):
        parse_nodes("syd=a:1, syd=b:1")


def test_every_region_is_primary_where_none_is_configured():
    assert Topology(region="local", primary_region=None).is_primary
    assert Topology(region="syd", primary_region="syd").is_primary
    assert not Topology(region="lax", primary_region="syd").is_primary


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_pickles_with_its_facts(name):
    error = getattr(errors, name)("what happened", node="syd=a:1")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.node) == ("what happened", "syd=a:1")
    assert isinstance(error, fly_orm.FlyOrmError)
