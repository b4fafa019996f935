"""The status of the nodes of all regions, and the lag of their replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..deadline import Deadline
from ..errors import FlyOrmError
from ..findings.nodes import NodeFacts
from ..findings.server import version_text
from ..protocol.inspecting import Inspected, ServedDatabase
from ..runtime.runtime import Runtime
from .nodes import ask_nodes, find_nodes


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """A database of a node, and its server."""

    name: str
    role: str
    """``primary`` or ``replica``; empty if the server cannot be asked."""
    server: str
    """Its address; or why it cannot be asked."""
    version: str
    """The version of that server."""
    lag_bytes: int | None
    """How far a replica is behind the primary; None if that is not known, and for a primary."""
    lag_seconds: float | None
    """Seconds since the last commit that a replica has replayed; 0 if it lacks nothing, None if that is not known."""
    leases: int
    """How many callers hold a connection to the primary."""


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """The status of a node."""

    region: str
    address: str
    problem: str
    """Why it does not answer; empty if it does."""
    draining: bool = False
    round_trip: float | None = None
    """Seconds."""
    version: str = ""
    release: str = ""
    uptime: float | None = None
    """Seconds since it began to serve."""
    channels: int | None = None
    """How many channels are open to it, apart from the one that asked."""
    pool_size: int | None = None
    calls: Sequence[str] = ()
    """The functions that run there."""
    worker: int = 0
    """Which of its workers has answered, from 1, whose channels, leases and functions these are; 0 if it has none."""
    workers: int = 1
    """How many workers it has."""
    databases: Sequence[DatabaseStatus] = ()

    def as_json(self) -> dict[str, Any]:
        """The status as ``fly-orm status --json`` prints it."""
        return asdict(self)


def ask_status(runtime: Runtime, deadline: Deadline) -> list[NodeStatus]:
    """The status of each node, those of the primary region first. NotDelivered if nodes cannot be looked up."""
    nodes, _ = find_nodes(runtime.forwarder.directory, runtime.settings, deadline)
    return status_of(ask_nodes(nodes, runtime.settings, deadline))


def status_of(nodes: Sequence[NodeFacts]) -> list[NodeStatus]:
    """The status of each node, given the facts about all of them."""
    served = [each for node in nodes if node.inspected is not None for each in node.inspected.databases]
    primaries = [each for each in served if each.server is not None and each.server.primary]
    return [_node(node, primaries) for node in nodes]


def _node(facts: NodeFacts, primaries: Sequence[ServedDatabase]) -> NodeStatus:
    node, told = facts.node, facts.inspected
    if facts.welcome is None:
        return NodeStatus(region=node.region, address=node.address, problem=_problem(facts.problem))
    known = _known(told, primaries) if told is not None else {}
    return NodeStatus(region=node.region, address=node.address, problem="", round_trip=facts.round_trip, **known)


def _problem(problem: FlyOrmError | None) -> str:
    return "no answer in time" if problem is None else str(problem)


def _known(told: Inspected, primaries: Sequence[ServedDatabase]) -> dict[str, Any]:
    return {
        "draining": told.draining,
        "version": told.version,
        "release": told.release,
        "uptime": told.uptime,
        "channels": max(0, told.channels - 1),
        "pool_size": told.pool_size,
        "calls": tuple(told.calls),
        "worker": told.worker,
        "workers": told.workers,
        "databases": tuple(_database(each, primaries) for each in told.databases),
    }


def _database(served: ServedDatabase, primaries: Sequence[ServedDatabase]) -> DatabaseStatus:
    server = served.server
    if server is None:
        return DatabaseStatus(
            name=served.name,
            role="",
            server=served.problem,
            version="",
            lag_bytes=None,
            lag_seconds=None,
            leases=served.leases,
        )
    lag = None if server.primary else _lag(served, primaries)
    return DatabaseStatus(
        name=served.name,
        role="primary" if server.primary else "replica",
        server=server.address,
        version=version_text(served.version),
        lag_bytes=lag,
        lag_seconds=None if lag is None else served.replay_age if lag else 0.0,
        leases=served.leases,
    )


def _lag(replica: ServedDatabase, primaries: Sequence[ServedDatabase]) -> int | None:
    """Bytes from the replay LSN of a replica to the flush LSN of the primary of the same database."""
    known = [
        primary.lsn - replica.lsn
        for primary in primaries
        if primary.name == replica.name and _comparable(primary, replica)
        if primary.lsn is not None and replica.lsn is not None
    ]
    return max(0, *known) if known else None


def _comparable(one: ServedDatabase, other: ServedDatabase) -> bool:
    """Whether two servers are known to be on one timeline of one system, so that their LSNs can be compared."""
    own, theirs = one.server, other.server
    return own is not None and theirs is not None and own.history is not None and own.history == theirs.history
