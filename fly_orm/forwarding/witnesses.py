"""Asks the nodes of all regions what servers they are on."""

from __future__ import annotations

from collections.abc import Iterator

from ..deadline import Deadline
from ..errors import FlyOrmError, NotDelivered
from ..protocol.messages import Describe, Described
from ..topology import Node, Topology
from .channels import NodeChannels
from .directory import Directory

#: Seconds that one node may take to answer.
_ANSWER_TIMEOUT = 2.0


def witnesses(
    directory: Directory, topology: Topology, database: str, deadline: Deadline, failures: list[FlyOrmError]
) -> Iterator[tuple[Node, Described]]:
    """What nodes say of the server of a database: one node per region, beginning with the primary region.

    Why others said nothing is appended to ``failures``.
    """
    for region in _regions(directory, topology, deadline, failures):
        for node in _nodes(directory, region, deadline, failures):
            if deadline.expired:
                return
            try:
                described = _ask(directory.channels_to(node), database, deadline.within(_ANSWER_TIMEOUT))
            except FlyOrmError as error:
                failures.append(error)
                continue
            yield node, described
            break


def _regions(directory: Directory, topology: Topology, deadline: Deadline, failures: list[FlyOrmError]) -> list[str]:
    primary = topology.primary_region or topology.region
    try:
        others = directory.regions(deadline)
    except NotDelivered as error:
        failures.append(error)
        others = []
    return [primary, *sorted({*others} - {primary})]


def _nodes(directory: Directory, region: str, deadline: Deadline, failures: list[FlyOrmError]) -> list[Node]:
    try:
        return directory.candidates(region, deadline)
    except NotDelivered as error:
        failures.append(error)
        return []


def _ask(channels: NodeChannels, database: str, deadline: Deadline) -> Described:
    channel = channels.acquire(deadline)
    try:
        reply = channel.request(Describe(database=database), deadline)
    except BaseException:
        channels.discard(channel)
        raise
    channels.release(channel)
    if not isinstance(reply, Described):
        raise NotDelivered(f"{channels.node} does not say what server it is on: {getattr(reply, 'message', reply)}")
    return reply
