"""Which regions there are, which is primary, and which nodes each has."""

from __future__ import annotations

import pytest

from fly_orm import errors
from fly_orm.topology import Node, Topology, parse_nodes


def test_nodes_are_read_by_region():
    nodes = parse_nodes("FLY_ORM_NODES", "syd=[::1]:7654 127.0.0.1:7655, lax=host:1,")
    assert nodes["syd"] == (Node(region="syd", address="[::1]:7654"), Node(region="syd", address="127.0.0.1:7655"))
    assert nodes["lax"] == (Node(region="lax", address="host:1"),)
    assert parse_nodes("FLY_ORM_NODES", "") == {}


@pytest.mark.parametrize("text", ["127.0.0.1:7654", "syd=", "=host:1", "syd= , lax=a:1"])
def test_nodes_without_region_or_address_are_refused(text):
    with pytest.raises(errors.ConfigurationError, match="REGION=ADDRESS"):
        parse_nodes("FLY_ORM_NODES", text)


def test_a_region_given_twice_is_refused():
    with pytest.raises(errors.ConfigurationError, match="appears twice"):
        parse_nodes("FLY_ORM_NODES", "syd=a:1, syd=b:1")


def test_every_region_is_primary_where_none_is_configured():
    assert Topology(region="local", primary_region=None).is_primary
    assert Topology(region="syd", primary_region="syd").is_primary
    assert not Topology(region="lax", primary_region="syd").is_primary
