"""Findings about nodes: whether they can be reached, and what they report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..errors import AuthenticationFailed, ConfigurationError, FlyOrmError, NotDelivered
from ..protocol.messages import Inspected, Welcome
from ..topology import Node, Topology
from .finding import Finding, error, ok, warning
from .server import sleepy_senders, synchronous_commit, version_text

_TOPIC = "node"
#: Seconds by which two clocks may differ before it is worth a warning: tokens and certificates have dates.
MOST_CLOCK_OFFSET = 5.0
#: What it means that no node of the primary region can be reached, outside of that region and within.
_CONSEQUENCE = {
    False: ". No node of the primary region can be reached, so writes fail",
    True: ". No node of the primary region can be reached, so the writes of other regions fail",
}
_SECRETS = "Compare FLY_ORM_SECRET here and in the environment of that node, and restart the process where it is wrong"

#: What to do if a connection is accepted and no handshake follows, where this process uses TLS, and where it does not.
_TLS = {
    True: "This process uses TLS. If that node does not, set FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA "
    "there as well; if it does, compare the certificates and their authorities",
    False: "This process does not use TLS. If that node does, set FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA "
    "here as well",
}


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """The result of trying to reach a node."""

    node: Node
    encrypts: bool = False
    """Whether this process uses TLS."""
    problem: FlyOrmError | None = None
    """Why it could not be reached; None if it was."""
    welcome: Welcome | None = None
    round_trip: float = 0.0
    """Seconds that a message takes, there and back."""
    inspected: Inspected | None = None
    """What the node reports; None if it does not understand the request."""
    clock_offset: float = 0.0
    """Seconds by which its wall clock is at least ahead of this machine's; negative if it is behind."""

    @property
    def reached(self) -> bool:
        """Whether it has answered."""
        return self.welcome is not None


def node_findings(
    nodes: Sequence[NodeFacts], topology: Topology, *, version: str, databases: Collection[str] = ()
) -> list[Finding]:
    """Findings about each node. ``version`` is this process's fly_orm; ``databases`` are the ones it has wrapped."""
    findings: list[Finding] = []
    for facts in nodes:
        if facts.welcome is None:
            alone = not any(other.reached for other in nodes if other.node.region == facts.node.region)
            is_primary = facts.node.region == topology.primary_region
            findings.append(_unreached(facts, _CONSEQUENCE[topology.is_primary] if alone and is_primary else ""))
        else:
            findings += _reached(facts, facts.welcome, topology, version, databases)
    return findings


def _unreached(facts: NodeFacts, consequence: str) -> Finding:
    node, problem = facts.node, facts.problem
    what = str(problem).removeprefix(f"{node} ") if problem is not None else "it did not answer in time"
    if isinstance(problem, AuthenticationFailed):
        return error("secret", what, _SECRETS, subject=str(node))
    advice = (
        "Check that `fly-orm serve` runs there, that its FLY_ORM_LISTEN has this port and is not an address that only "
        f"its own machine can reach, such as 127.0.0.1, and that the network lets this one connect to {node.address}"
    )
    if isinstance(problem, NotDelivered) and problem.accepted:
        advice = (
            f"{_TLS[facts.encrypts]}. Otherwise, what listens at {node.address} is another program, a proxy without "
            "the node behind it, or a node with another FLY_ORM_TRANSPORT"
        )
    if isinstance(problem, ConfigurationError):
        advice = "Correct this address where nodes are listed, such as in FLY_ORM_NODES"
    return (error if consequence else warning)(_TOPIC, what + consequence, advice, subject=str(node))


def _reached(
    facts: NodeFacts, welcome: Welcome, topology: Topology, version: str, databases: Collection[str]
) -> list[Finding]:
    found = [_answer(facts, welcome), *_regions(facts.node, welcome, topology), *_clock(facts)]
    if facts.node.region == topology.primary_region:
        found += [_missing(name, welcome) for name in databases if name not in welcome.databases]
    if facts.inspected is not None:
        found += _inspected(facts.inspected, version)
    return [Finding(**{**vars(finding), "subject": str(facts.node)}) for finding in found]


def _answer(facts: NodeFacts, welcome: Welcome) -> Finding:
    serves = f"serves {', '.join(welcome.databases)}"
    rtt = f"answers in {facts.round_trip * 1000:.3g} ms"
    told = facts.inspected
    if told is None:
        return warning(
            _TOPIC, f"{rtt}, {serves}, and reports neither its version nor its servers", "Update fly_orm there"
        )
    release = f", release {told.release}" if told.release else ""
    return ok(_TOPIC, f"{rtt}, runs fly_orm {told.version}{release}, {serves}")


def _regions(node: Node, welcome: Welcome, topology: Topology) -> list[Finding]:
    found = []
    if welcome.region != node.region:
        found.append(
            error(
                "region",
                f"it is listed in region {node.region!r}, but says that it runs in {welcome.region!r}",
                "Correct FLY_ORM_NODES here, or FLY_REGION or MY_REGION there",
            )
        )
    own, theirs = topology.primary_region or "", welcome.primary_region
    if theirs is not None and theirs != own:
        found.append(
            error(
                "region",
                f"its PRIMARY_REGION is {theirs or 'not set'}, and that of this process {own or 'not set'}",
                "Set the same one everywhere",
            )
        )
    return found


def _clock(facts: NodeFacts) -> list[Finding]:
    offset = facts.clock_offset
    if abs(offset) <= MOST_CLOCK_OFFSET:
        return []
    return [
        warning(
            "clock",
            f"its clock is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the one here, so tokens and "
            "certificates expire too early or too late",
            "Synchronize the clocks of both machines (NTP)",
        )
    ]


def _missing(name: str, welcome: Welcome) -> Finding:
    return error(
        "database",
        f"it does not serve {name!r}, only {', '.join(welcome.databases)}",
        "Name the database in the command that starts the node, too: `fly-orm serve … MODULE:ATTRIBUTE`. If the node "
        "calls it by another name, give both the same one with wrap(db, name=…)",
    )


def _inspected(told: Inspected, version: str) -> list[Finding]:
    found = []
    if told.version != version:
        found.append(
            warning(
                "version",
                f"it runs fly_orm {told.version}, and this process {version}",
                "Deploy the same version on both. During a deployment this is expected",
            )
        )
    if told.draining:
        found.append(warning(_TOPIC, "it is shutting down", "Wait until it has been restarted"))
    for served in told.databases:
        if served.problem:
            found.append(error("database", f"{served.name}: {served.problem}", "Correct its address on that node"))
        elif served.server is not None and served.server.primary:
            kind = f"{served.name} is on the primary {served.server.address}, PostgreSQL {version_text(served.version)}"
            found.append(ok("database", kind))
            found += synchronous_commit(served.synchronous_commit) if served.synchronous_commit == "off" else []
            found += sleepy_senders(
                served.version, served.role, reads_all_stats=served.reads_all_stats, subject=served.name
            )
    return found
