"""Findings from comparing this region's server with the servers of the nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..protocol.messages import Described
from ..topology import Node, Topology
from .finding import Finding, error, ok, warning
from .nodes import NodeFacts
from .server import ServerFacts

_TOPIC = "system"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The server that a node uses for a database."""

    node: Node
    server: Described
    role: str
    """The role that the node logs in as."""
    superuser: bool


def servers_of(database: str, nodes: Sequence[NodeFacts]) -> Iterator[Elsewhere]:
    """The servers that nodes report for a database."""
    for facts in nodes:
        for served in facts.inspected.databases if facts.inspected is not None else ():
            if served.name == database and served.server is not None:
                yield Elsewhere(node=facts.node, server=served.server, role=served.role, superuser=served.superuser)


def system_findings(
    database: str,
    own: ServerFacts,
    topology: Topology,
    nodes: Sequence[NodeFacts],
    wrong: str = "",
    *,
    pretends: bool = False,
) -> list[Finding]:
    """Findings from comparing this region's server of a database with those of the nodes.

    ``wrong`` is why this process must not write to its server, if it must not. With ``pretends``, it takes its server
    for a replica, whatever that is.
    """
    if topology.primary_region is None:
        return []
    others = list(servers_of(database, nodes))
    primaries = [other for other in others if other.server.primary]
    found = [] if pretends else _own_place(own, topology, primaries, wrong)
    found += [*_several(primaries), *_superusers(own, primaries)]
    if not own.primary:
        found += _same_system(own, primaries)
    if others and not primaries and not (topology.is_primary and own.primary):
        found.append(
            error(
                _TOPIC,
                "no node that can be reached has the primary of this database, so writes fail",
                f"Connect the nodes of {topology.primary_region!r} to the primary",
            )
        )
    return [Finding(**{**vars(finding), "subject": database}) for finding in found]


def _own_place(own: ServerFacts, topology: Topology, primaries: Sequence[Elsewhere], wrong: str) -> list[Finding]:
    if wrong:
        return [error(_TOPIC, wrong, "Connect this region to a replica of the primary, or to the primary itself")]
    if topology.is_primary:
        return _superseded(own, primaries) if own.primary else [_replica_in_primary_region(own, topology, primaries)]
    if not own.primary:
        return []
    same = [other for other in primaries if other.server.run == own.run]
    where = f", which {same[0].node} writes to" if same else ""
    return [
        warning(
            "region",
            f"the server of this secondary region, {own.address}, is not a replica but the primary{where}: reads cross "
            "the network, and writes run there directly",
            f"Connect the database in {topology.region!r} to the replica of that region, if there is one",
        )
    ]


def _superseded(own: ServerFacts, primaries: Sequence[Elsewhere]) -> list[Finding]:
    for other in primaries:
        theirs = other.server.history
        if own.history is not None and theirs is not None and own.history.is_behind(theirs):
            return [
                error(
                    _TOPIC,
                    f"the primary here, {own.address}, was superseded by a failover: it is on {own.history}, and "
                    f"{other.server.address}, the primary of {other.node}, on {theirs}",
                    f"Stop it, or let it rejoin as a replica, and set PRIMARY_REGION={other.node.region} everywhere",
                )
            ]
    return []


def _several(primaries: Sequence[Elsewhere]) -> list[Finding]:
    """An error if nodes report different primaries."""
    by_run = {other.server.run: other for other in reversed(primaries)}
    if len(by_run) < 2:
        return []
    each = " and ".join(f"{other.server.address} ({other.node})" for other in reversed(by_run.values()))
    return [
        error(
            _TOPIC,
            f"nodes have different servers that take writes: {each}",
            "Connect all nodes to servers of one system, only one of which is a primary",
        )
    ]


def _superusers(own: ServerFacts, primaries: Sequence[Elsewhere]) -> list[Finding]:
    """Warnings about nodes that execute the statements of another role as a superuser."""
    return [
        warning(
            "privileges",
            f"{other.node} logs in as {other.role!r}, a superuser, and executes statements of the role {own.role!r}: a "
            "function or a DO block could act as any role",
            f'Connect the node as a role without privileges of its own, and GRANT "{own.role}" TO it (docs/roles.md)',
        )
        for other in primaries
        if other.superuser and other.role != own.role
    ]


def _replica_in_primary_region(own: ServerFacts, topology: Topology, primaries: Sequence[Elsewhere]) -> Finding:
    what = f"this is the primary region, but its server, {own.address}, is a replica"
    for other in primaries:
        if other.node.region != topology.region:
            return warning(
                "region",
                f"{what}; {other.node} has the primary, {other.server.address}",
                f"If that is the primary for good, set PRIMARY_REGION={other.node.region} everywhere",
            )
    return error(
        "region",
        what,
        f"Connect the database in {topology.region!r} to the primary, or set PRIMARY_REGION to the region that has it",
    )


def _same_system(own: ServerFacts, primaries: Sequence[Elsewhere]) -> list[Finding]:
    if own.history is None:
        return []
    found = []
    for other in primaries:
        theirs = other.server.history
        if theirs is None:
            continue
        if theirs.system != own.history.system:
            found.append(
                error(
                    _TOPIC,
                    f"the replica here belongs to another database system ({own.history}) than the primary of "
                    f"{other.node} ({theirs}), and will never show its writes",
                    "Make a replica of that primary, with pg_basebackup, or correct the address of one of the two",
                )
            )
        elif own.history.is_behind(theirs):
            found.append(
                error(
                    _TOPIC,
                    f"the replica here is on {own.history}, and the primary of {other.node} on {theirs}: it has not "
                    "followed a failover",
                    "Point primary_conninfo of the replica to the new primary (recovery_target_timeline = latest), or "
                    "make the replica anew",
                )
            )
        else:
            found.append(ok(_TOPIC, f"the replica here follows the primary of {other.node}: both are on {theirs}"))
    return found
