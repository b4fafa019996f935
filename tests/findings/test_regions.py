"""Names of regions that do not fit together are found, and the one that was meant is named."""

from __future__ import annotations

import pytest

from fly_orm.findings.finding import Level, worst
from fly_orm.findings.regions import region_findings
from fly_orm.topology import Topology


def judged(region, primary, nodes):
    findings = region_findings(Topology(region=region, primary_region=primary), nodes)
    return worst(findings), " ".join(map(str, findings))


@pytest.mark.parametrize(
    ("region", "primary", "nodes"),
    [
        ("lax", "syd", ["syd"]),
        ("lax", "syd", ["lax", "syd"]),
        ("syd", "syd", ["syd"]),
        ("syd", "syd", []),
        ("local", None, []),
        ("lax", "syd", None),
        ("fra", "syd", ["lax", "syd"]),
    ],
)
def test_names_that_fit_together_are_fine(region, primary, nodes):
    assert judged(region, primary, nodes)[0] is Level.OK


@pytest.mark.parametrize(
    ("region", "primary", "nodes", "level", "told"),
    [
        ("lax", "sid", ["syd"], Level.ERROR, "If you mean 'syd', correct PRIMARY_REGION"),
        ("lax", "SYD", ["syd"], Level.ERROR, "If you mean 'syd', correct PRIMARY_REGION"),
        ("sid", "sid", ["syd"], Level.ERROR, "If you mean 'syd', correct PRIMARY_REGION"),
        ("lax", "gru", ["syd"], Level.ERROR, "there are nodes in syd"),
        ("lax", "syd", [], Level.ERROR, "no node of any region is known"),
        ("SYD", "syd", ["syd"], Level.WARNING, "If you mean 'syd', correct FLY_REGION"),
        ("lxa", "syd", ["lax", "syd"], Level.WARNING, "If you mean 'lax', correct FLY_REGION"),
        ("local", "syd", ["syd"], Level.WARNING, "Set MY_REGION"),
        ("lax", None, ["syd"], Level.ERROR, "Set PRIMARY_REGION"),
    ],
)
def test_a_name_that_nothing_matches_is_found(region, primary, nodes, level, told):
    found, text = judged(region, primary, nodes)
    assert found is level
    assert told in text


@pytest.mark.parametrize(("nodes", "told"), [(["syd"], True), (["lax", "syd"], False), (None, False)])
def test_it_says_if_nothing_confirms_the_name_of_the_own_region(nodes, told):
    level, text = judged("lax", "syd", nodes)
    assert level is Level.OK
    assert ("No node is listed there that would confirm its name" in text) is told
