"""Finds the nodes of all regions, and inspects them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..deadline import Deadline, wall_clock
from ..errors import FlyOrmError
from ..findings.nodes import NodeFacts
from ..forwarding import channels
from ..forwarding.directory import Directory
from ..forwarding.sealed_channel import SealedChannel, open_channel
from ..protocol.keys import keys_of
from ..protocol.messages import Inspect, Inspected
from ..registry import make_transport
from ..settings import Settings
from ..topology import Node
from .parallel import Question

#: The most nodes of a region that are asked.
MOST_PER_REGION = 16


def find_nodes(directory: Directory, settings: Settings, deadline: Deadline) -> tuple[list[Node], list[str]]:
    """The nodes of all regions, and the regions that have any. NotDelivered if they cannot be looked up."""
    primary = settings.topology.primary_region
    regions = directory.regions(deadline)
    nodes = [
        node
        for region in dict.fromkeys([*([primary] if primary else []), *regions])
        for node in directory.nodes(region, deadline)[:MOST_PER_REGION]
    ]
    return nodes, sorted({node.region for node in nodes})


def ask_nodes(nodes: Sequence[Node], settings: Settings, deadline: Deadline) -> list[NodeFacts]:
    """The result of trying to reach each of the nodes, all at the same time."""
    transport = make_transport(settings.transport, settings)
    keys_of(settings.secrets)  # the first time, this takes CPU time, which may be short, and says nothing of the nodes
    limit = deadline.within(channels.CONNECT_TIMEOUT)

    def ask(node: Node) -> NodeFacts:
        try:
            channel = open_channel(
                transport, node, secrets=settings.secrets, region=settings.topology.region, deadline=limit
            )
        except FlyOrmError as error:
            return NodeFacts(node=node, problem=error, encrypts=bool(settings.tls_cert))
        try:
            return _facts(node, channel, deadline)
        finally:
            channel.close()

    questions = [(node, Question(partial(ask, node))) for node in nodes]
    return [question.answer(deadline) or NodeFacts(node=node) for node, question in questions]


def _facts(node: Node, channel: SealedChannel, deadline: Deadline) -> NodeFacts:
    asked = wall_clock()
    try:
        reply = channel.request(Inspect(), deadline)
        answered = wall_clock()
        inspected = reply if isinstance(reply, Inspected) else None
    except FlyOrmError:  # it says nothing, but it was reached
        inspected = None
    return NodeFacts(
        node=node,
        welcome=channel.welcome,
        round_trip=channel.round_trip,
        inspected=inspected,
        clock_offset=0.0 if inspected is None else _offset(inspected.time, asked, answered),
    )


def _offset(time: float, asked: float, answered: float) -> float:
    """Seconds by which a clock is at least ahead, if it was read between two readings of the local clock."""
    if time > answered:
        return time - answered
    return min(0.0, time - asked)
