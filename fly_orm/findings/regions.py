"""Findings about the names of regions."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from ..topology import Topology
from .finding import Finding, error, ok, warning

_TOPIC = "region"


def region_findings(topology: Topology, with_nodes: Collection[str] | None) -> list[Finding]:
    """Findings about the names. ``with_nodes`` are the regions that have nodes; None if they are not known."""
    if topology.primary_region is None:
        return [_no_primary_region(topology, with_nodes)]
    return [_own(topology, with_nodes or ()), *_primary(topology, with_nodes)]


def _no_primary_region(topology: Topology, with_nodes: Collection[str] | None) -> Finding:
    if with_nodes:
        return error(
            _TOPIC,
            f"PRIMARY_REGION is not set, although nodes are listed ({', '.join(with_nodes)}): every statement runs on "
            "the local server",
            "Set PRIMARY_REGION to the region of the primary, in every process",
        )
    return ok(_TOPIC, f"PRIMARY_REGION is not set: there is one region, {topology.region!r}, and nothing is forwarded")


def _own(topology: Topology, with_nodes: Collection[str]) -> Finding:
    region, primary = topology.region, str(topology.primary_region)
    if topology.is_primary:
        return ok(_TOPIC, f"this process runs in {region!r}, the primary region")
    if region == "local":
        return warning(
            _TOPIC,
            "neither FLY_REGION nor MY_REGION is set, so this process counts as running in region 'local' and not in "
            f"the primary region, {primary!r}",
            "Set MY_REGION to the region that the process runs in",
        )
    if region not in with_nodes and (near := _near(region, {primary, *with_nodes})):
        return warning(
            _TOPIC,
            f"this process runs in {region!r}, but no setting or node names that region; one names {near!r}",
            f"If you mean {near!r}, correct FLY_REGION or MY_REGION",
        )
    unsure = "" if not with_nodes or region in with_nodes else ". No node is listed there that would confirm its name"
    return ok(_TOPIC, f"this process runs in {region!r}, a secondary region; the primary region is {primary!r}{unsure}")


def _primary(topology: Topology, with_nodes: Collection[str] | None) -> list[Finding]:
    primary = str(topology.primary_region)
    if with_nodes is None or primary in with_nodes:
        return []
    if not with_nodes:
        if topology.is_primary:
            return []  # it may be the only region so far
        return [
            error(
                _TOPIC,
                "no node of any region is known, so writes cannot be forwarded",
                f"Run `fly-orm serve` in {primary!r} and list it: FLY_ORM_NODES='{primary}=ADDRESS:PORT'",
            )
        ]
    others = ", ".join(sorted(with_nodes))
    near = _near(primary, with_nodes)
    what = f"PRIMARY_REGION is {primary!r}, but no node is in that region (there are nodes in {others})"
    advice = (
        f"If you mean {near!r}, correct PRIMARY_REGION. Otherwise, list" if near else "Correct PRIMARY_REGION, or list"
    )
    advice += f" the nodes of {primary!r}: FLY_ORM_NODES='{primary}=ADDRESS:PORT, …'"
    return [(warning if topology.is_primary and not near else error)(_TOPIC, what, advice)]


def _near(name: str, known: Collection[str]) -> str | None:
    """The known name closest to this one, ignoring case; None if nothing is close."""
    by_case = {each.casefold(): each for each in sorted(known)}
    matches = get_close_matches(name.casefold(), by_case, n=1)
    return by_case[matches[0]] if matches else None
