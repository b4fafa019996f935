"""The nodes of each region, the channels to them, and the order in which to try them."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches

from ..concurrency.background import BackgroundTask
from ..deadline import Deadline, now
from ..discovery import Discovery, discovery_name
from ..errors import AuthenticationFailed, NoNode, NotDelivered, Refused
from ..observing.events import NodeReturned, NodeSetAside
from ..observing.listeners import emit, listeners
from ..registry import make_discovery
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from .channels import CONNECT_TIMEOUT, NodeChannels
from .mismatches import Mismatches
from .quarantine import Quarantine
from .sealed_channel import open_channel

log = logging.getLogger("fly_orm")

#: Seconds after which a node that could not be reached is probed for the first time…
FIRST_INTERVAL = 5.0
#: …and the longest interval between two later probes.
LONGEST_INTERVAL = 60.0


class Directory:
    """The nodes of each region, with channels to them. Thread-safe. A forked process has to make another one.

    A node that could not be reached is put in *quarantine*: it is tried last until it has been reached.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        discovery: Discovery | None = None,
        *,
        first_interval: float = FIRST_INTERVAL,
        longest_interval: float = LONGEST_INTERVAL,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._discovery = discovery or make_discovery(discovery_name(settings), settings)
        self._quarantine = Quarantine(
            self._probe, self._recovered, first_interval=first_interval, longest_interval=longest_interval
        )
        self._mismatches = Mismatches(settings.topology)
        self._lock = threading.Lock()
        self._channels: dict[Node, NodeChannels] = {}
        self._retained: dict[str, list[Node]] = {}
        """By region, its nodes when all that is kept about others was forgotten, unless more was added since."""
        self._warm_up = BackgroundTask("fly_orm warm-up", self._look_up_and_warm_up)
        self._closed = False

    @property
    def quarantined(self) -> frozenset[Node]:
        """The nodes that could not be reached, and are tried last."""
        return self._quarantine.nodes

    @property
    def missing(self) -> frozenset[Node]:
        """The nodes in quarantine, without what may be no node: DNS lists all machines of an application."""
        away = self._quarantine.nodes
        if discovery_name(self._settings) != "dns":
            return away
        return frozenset(node for node in away if node in self._channels and self._channels[node].was_reached)

    @property
    def channels(self) -> list[NodeChannels]:
        """The channels to each node that was used."""
        with self._lock:
            return list(self._channels.values())

    def nodes(self, region: str, deadline: Deadline) -> list[Node]:
        """The nodes of a region, possibly none. NotDelivered if they cannot be looked up by the deadline."""
        nodes = list(self._discovery.nodes(region, deadline))
        if self._retained.get(region) != nodes:
            self._retained[region] = nodes.copy()  # first: what another thread adds from now on is looked at again
            self._retain(region, set(nodes))
        return nodes

    def regions(self, deadline: Deadline) -> list[str]:
        """The names of the regions that have nodes. NotDelivered if they cannot be looked up by the deadline."""
        return list(self._discovery.regions(deadline))

    def candidates(self, region: str, deadline: Deadline) -> list[Node]:
        """The nodes of a region in random order, those in quarantine last. NoNode if there are none."""
        nodes = self.nodes(region, deadline)
        if not nodes:
            self._discovery.refresh(region, deadline)
            nodes = self.nodes(region, deadline)
        if not nodes:
            question = self.misspelt(region, deadline)
            raise NoNode(
                f"there is no node in region {region!r}: looked in {self.describe(region)}"
                f"{f'. {question} Otherwise,' if question else ';'} run `fly-orm serve` there, or list its nodes, for "
                f"instance FLY_ORM_NODES='{region}=ADDRESS:PORT'"
            )
        return self._in_order(nodes)

    def misspelt(self, region: str, deadline: Deadline) -> str:
        """A question, if the name of a region without nodes resembles that of one with nodes; empty otherwise."""
        try:
            regions = self.regions(deadline)
        except NotDelivered:
            return ""
        for near in () if region in regions else get_close_matches(region, regions, n=1):
            return f"Did you mean {near!r}, one of the regions with nodes ({', '.join(regions)})?"
        return ""

    def new_candidates(self, region: str, deadline: Deadline, known: Collection[Node]) -> list[Node]:
        """Look the region up again, and return the nodes that are not among the known ones, in order."""
        self._discovery.refresh(region, deadline)
        try:
            nodes = self.nodes(region, deadline)
        except NotDelivered:
            return []
        return self._in_order([node for node in nodes if node not in known])

    def describe(self, region: str) -> str:
        """Where the nodes of a region are looked up, and what was found there last."""
        return self._discovery.describe(region)

    def channels_to(self, node: Node) -> NodeChannels:
        """The channels to a node; made on first use."""
        if (known := self._channels.get(node)) is not None:
            return known
        with self._lock:
            channels = self._channels.get(node)
            if channels is None:
                channels = NodeChannels(
                    self._transport,
                    node,
                    secrets=self._settings.secrets,
                    region=self._settings.topology.region,
                    max_size=self._settings.max_channels,
                    idle_timeout=self._settings.channel_idle_timeout,
                    on_welcome=self._mismatches.check,
                )
                if self._closed:
                    channels.close()  # channels opened after this are closed when they are given back
                else:
                    self._channels[node] = channels
                    self._retained.pop(node.region, None)
            return channels

    def quarantine(self, node: Node, error: NotDelivered | Refused) -> None:
        """Try a node that could not be reached, or is shutting down, after all others, until it has been reached."""
        if self._quarantine.add(node):
            self._retained.pop(node.region, None)
            if isinstance(error, AuthenticationFailed):
                log.warning(
                    "%s could not be authenticated, and is tried last until it can be: %s",
                    node,
                    error,
                    extra={"event": "node_set_aside", "node": str(node), "problem": str(error)},
                )
            else:
                problem = "is shutting down" if isinstance(error, Refused) else "could not be reached"
                log.warning(
                    "%s %s, and is tried last until it can be reached: %s",
                    node,
                    problem,
                    error,
                    extra={"event": "node_set_aside", "node": str(node), "problem": str(error)},
                )
            if listeners.node_set_aside:
                emit(NodeSetAside(node=str(node), why=str(error)))
            self._discovery.refresh(node.region, Deadline.after(0))

    def mark_reached(self, node: Node, asked_at: float) -> None:
        """End the quarantine of a node, if it is in quarantine, since it has answered what it was asked then."""
        if (began := self._quarantine.remove(node, asked_at)) is not None:
            log.info("%s can be reached again", node, extra={"event": "node_returned", "node": str(node)})
            if listeners.node_returned:
                emit(NodeReturned(node=str(node), seconds=now() - began))

    def warm_up(self, region: str) -> None:
        """Open channels to the nodes of a region in the background, so that the first request finds them open."""
        try:
            self._open_channels(self.nodes(region, Deadline.after(0)))
        except NotDelivered:  # the nodes are not known yet
            self._warm_up.start(region)

    def close(self) -> None:
        """Close all channels and end the probes."""
        with self._lock:
            self._closed = True
            channels, self._channels = list(self._channels.values()), {}
        self._quarantine.close()
        for each in channels:
            each.close()

    def _in_order(self, nodes: Sequence[Node]) -> list[Node]:
        if len(nodes) == 1:
            return list(nodes)
        shuffled = random.sample(nodes, len(nodes))  # so that the callers of all regions share the nodes out evenly
        return sorted(shuffled, key=lambda node: node in self._quarantine)

    def _retain(self, region: str, nodes: Collection[Node]) -> None:
        """Close the channels to the nodes that the region no longer has, each as soon as it is idle."""
        self._quarantine.retain(region, nodes)
        with self._lock:
            gone = [node for node in self._channels if node.region == region and node not in nodes]
            channels = [self._channels.pop(node) for node in gone]
        for each in channels:
            log.info("%s is no longer listed", each.node, extra={"event": "node_unlisted", "node": str(each.node)})
            each.close()

    def _look_up_and_warm_up(self, region: str) -> None:
        self._open_channels(self.nodes(region, Deadline.after(CONNECT_TIMEOUT)))

    def _open_channels(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node not in self._quarantine:
                self.channels_to(node).warm_up()

    def _probe(self, node: Node) -> None:
        """Open a channel to a node in quarantine. A channel from the pool would prove nothing: it may be older."""
        with suppress(NotDelivered):
            self.nodes(node.region, Deadline.after(0))  # which ends the quarantine of a node that is gone
        if node in self._quarantine:
            secrets, region = self._settings.secrets, self._settings.topology.region
            limit = Deadline.after(CONNECT_TIMEOUT)
            open_channel(self._transport, node, secrets=secrets, region=region, deadline=limit).close()

    def _recovered(self, node: Node) -> None:
        self.mark_reached(node, now())
        self.channels_to(node).warm_up()
