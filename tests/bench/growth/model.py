"""What a deployment takes, predicted from what single things cost. Pure functions; docs/growth.md explains them.

A *process* is one of the application, in a secondary region. A *node* serves the primary region, at an address of its
own, with one or more workers, which are processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fly_orm.forwarding.channels import READY_CHANNELS

#: Connections of fly_orm's own that a process opens to its replica, at most (docs/deploy/operating.md).
OWN_CONNECTIONS = 4
#: Connections of its own that a node opens to the primary, at most, besides those of its pool, for each worker.
NODE_CONNECTIONS = 2
#: Strings of statements that the primary executes for one write in autocommit: the write, and position and cleaning.
STRINGS = 2
#: The part of a core that a worker should use, so that bursts and a lost sibling leave time.
UTILISATION = 0.6


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What single things cost, as measured on one machine. Times are seconds of a processor, sizes MiB."""

    node_write: float
    """The node, for each forwarded write."""
    caller_write: float
    handshake: float
    """The node, for each channel that is opened."""
    idle_channel: float
    """The node, for each open channel, each second."""
    node_memory: float
    """A node without channels."""
    channel_memory: float
    questions: float
    """To the replica, for each write that waits."""
    lease: float
    """Seconds for which a write takes one of the node's connections."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Who writes, how often and from how far away, and what serves them."""

    regions: int
    processes: int
    """In each region."""
    threads: int
    """In each process."""
    writes: float
    """A second, in each process; each in autocommit."""
    rtt: float
    """Seconds, to the primary region."""
    nodes: int = 1
    workers: int = 1
    """Of each node."""
    pool_size: int = 10
    waits: bool = True
    """Whether writes wait for the replica, as with ``wait="write"``."""


def writes(given: Deployment) -> float:
    """Writes a second in all."""
    return given.regions * given.processes * given.writes


def in_use(given: Deployment, costs: Costs) -> float:
    """Channels of a process to one node that are in use on average, by Little's law: rate × time."""
    return given.writes * (given.rtt + costs.lease) / given.nodes


def channels_of_process(given: Deployment, costs: Costs) -> float:
    """Channels that a process has open to one node: as many as are in use at its busiest, and those kept ready.

    At its busiest: three standard deviations above the mean, for writes that come at random; one thread uses one.
    """
    mean = in_use(given, costs)
    busiest = math.ceil(mean + 3 * math.sqrt(mean))
    return min(max(busiest, 1), given.threads) + READY_CHANNELS


def channels_of_node(given: Deployment, costs: Costs) -> float:
    """Channels that are open to each node: each process has some to every node."""
    return given.regions * given.processes * channels_of_process(given, costs)


def channels_of_worker(given: Deployment, costs: Costs) -> float:
    """Channels of each worker, if the kernel shares them out evenly."""
    return channels_of_node(given, costs) / given.workers


def worker_cores(given: Deployment, costs: Costs) -> float:
    """The part of a core that each worker uses."""
    idle = channels_of_worker(given, costs) * costs.idle_channel
    return writes(given) / (given.nodes * given.workers) * costs.node_write + idle


def workers_needed(given: Deployment, costs: Costs) -> int:
    """Workers, of all nodes together, that have time for all writes, each on a core of its own."""
    return max(1, math.ceil(writes(given) * costs.node_write / UTILISATION))


def worker_memory(given: Deployment, costs: Costs) -> float:
    """MiB of each worker."""
    return costs.node_memory + channels_of_worker(given, costs) * costs.channel_memory


def leases(given: Deployment, costs: Costs) -> float:
    """Connections of a node's pool that are in use on average."""
    return writes(given) / given.nodes * costs.lease


def primary_connections(given: Deployment) -> int:
    """Connections that the nodes may open to the primary, functions included."""
    return given.nodes * (2 * given.pool_size + NODE_CONNECTIONS * given.workers)


def primary_strings(given: Deployment) -> float:
    """Strings of statements that the primary executes a second."""
    return writes(given) * STRINGS


def replica_connections(given: Deployment) -> int:
    """Connections that the processes of a region may open to its replica."""
    return given.processes * (given.threads + OWN_CONNECTIONS)


def questions(given: Deployment, costs: Costs) -> float:
    """Questions a second to each replica how far it is."""
    return given.processes * given.writes * costs.questions if given.waits else 0.0


def restart(given: Deployment, costs: Costs) -> float:
    """Seconds of processor time that a node spends on handshakes after a restart, until all processes are back."""
    return channels_of_node(given, costs) * costs.handshake
