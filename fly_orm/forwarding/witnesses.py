"""Asks the nodes of all regions what servers they are on."""

from __future__ import annotations

from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered
from ..protocol.messages import Describe, Described
from ..topology import Node, Topology
from .channels import NodeChannels
from .directory import Directory

#: Seconds that one node may take to answer.
_ANSWER_TIMEOUT = 2.0

Answers = tuple[list[tuple[Node, Described]], list[str]]


def witnesses(
    directory: Directory, topology: Topology, database: str, deadline: Deadline, failures: list[FlyOrmError]
) -> Answers:
    """What nodes say of the server of a database, one of each region; and the other regions that said nothing.

    The primary region comes first. Why nodes said nothing is appended to ``failures``.
    """
    answers: list[tuple[Node, Described]] = []
    silent: list[str] = []
    for region in _regions(directory, topology, deadline, failures):
        answer = _answer_of(region, directory, database, deadline, failures)
        if answer is not None:
            answers.append(answer)
        elif region != topology.region:
            silent.append(region)
    return answers, silent


def _regions(directory: Directory, topology: Topology, deadline: Deadline, failures: list[FlyOrmError]) -> list[str]:
    primary = topology.primary_region or topology.region
    try:
        others = directory.regions(deadline)
    except NotDelivered as error:
        failures.append(error)
        others = []
    return [primary, *sorted({*others} - {primary})]


def _answer_of(
    region: str, directory: Directory, database: str, deadline: Deadline, failures: list[FlyOrmError]
) -> tuple[Node, Described] | None:
    try:
        nodes = directory.candidates(region, deadline)
    except NotDelivered as error:
        failures.append(error)
        return None
    for node in nodes:
        if deadline.expired or node in directory.quarantined:
            continue
        limit = deadline.within(_ANSWER_TIMEOUT)
        try:
            return node, ask_about(directory.channels_to(node), database, limit)
        except FlyOrmError as error:
            failures.append(error)
            if not deadline.expired and isinstance(error, NotDelivered):
                directory.quarantine(node, error)
    return None


def ask_about(channels: NodeChannels, database: str, deadline: Deadline) -> Described:
    """What one node says of the server of a database; FlyOrmError if it does not."""
    with channels.lent(deadline) as channel:
        reply = channel.request(Describe(database=database), deadline)
    if not isinstance(reply, Described):
        raise FlyOrmError(f"{channels.node} does not say what server it is on: {getattr(reply, 'message', reply)}")
    return reply
