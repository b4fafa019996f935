"""Findings about a test write."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import FlyOrmError, OutcomeUnknown, Refused, ReplicationTimeout
from ..protocol import reasons
from .finding import Finding, error, ok, warning

_TOPIC = "write"
#: What to do about the reasons for which a node declines.
_ADVICE = {
    reasons.NO_ROLE: (
        "Let the node's role act as the role of this process: GRANT THIS_ROLE TO NODE_ROLE (docs/roles.md)"
    ),
    reasons.NO_SESSION: "Connect the node to Postgres itself, or to a pooler in session mode",
    reasons.UNKNOWN_DATABASE: "Serve the database there, too, or give it one name on both sides with wrap(db, name=…)",
    reasons.BUSY: "Raise --pool-size there, or find out what holds its connections",
    reasons.DRAINING: "Wait until the node has been restarted",
    reasons.UNAVAILABLE: "Correct the address of the database on that node",
    reasons.NOT_PRIMARY: "Connect the nodes of the primary region to the primary",
    reasons.SESSION_SETTINGS: "Give the primary the extensions that define these settings",
}
_LOOK = "See the findings about the nodes"


@dataclass(frozen=True, kw_only=True)
class WriteFacts:
    """The result of a test write."""

    forwarded: bool = True
    """False if it ran on the local server, which is the primary."""
    unrouted: bool = False
    """Whether it would have run on the local server, which is a replica, as ``PRIMARY_REGION`` is not set."""
    node: str = ""
    rpc: float = 0.0
    """Seconds from sending the request to receiving its reply."""
    waited: float | None = None
    """Seconds until the local replica had replayed it; None if nothing waited for that."""
    late: ReplicationTimeout | None = None
    """Why the replica did not show it."""
    problem: FlyOrmError | str | None = None
    """Why nothing was written."""


def write_findings(database: str, write: WriteFacts) -> list[Finding]:
    """Findings about a test write."""
    if write.unrouted:
        return [
            error(
                _TOPIC,
                "PRIMARY_REGION is not set, so that writes run on the local server, a replica, which refuses them",
                "Set PRIMARY_REGION to the region of the primary",
                subject=database,
            )
        ]
    if write.problem is not None:
        return [_failed(database, write.problem)]
    if not write.forwarded:
        return [ok(_TOPIC, f"the local server executed a write in {_ms(write.rpc)}", subject=database)]
    how = f"{write.node} executed a write in {_ms(write.rpc)}"
    if write.late is not None:
        return [
            error(
                "replication",
                f"{how}, but the replica of this region does not show it: {write.late}",
                "Check that the replica streams from that primary, and how far it is behind",
                subject=database,
            )
        ]
    wait = "" if write.waited is None else f", and the replica of this region showed it {_ms(write.waited)} later"
    return [ok(_TOPIC, f"{how}{wait}", subject=database)]


def _failed(database: str, problem: FlyOrmError | str) -> Finding:
    if isinstance(problem, OutcomeUnknown):
        return warning(_TOPIC, f"the outcome of a write is unknown: {problem}", "Check the network", subject=database)
    advice = _ADVICE.get(problem.reason, _LOOK) if isinstance(problem, Refused) else _LOOK
    return error(_TOPIC, f"a write failed: {problem}", advice, subject=database)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
