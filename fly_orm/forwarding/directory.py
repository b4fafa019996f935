"""Which nodes a region has, the channels to them, and which of them are to be tried first."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress

from ..concurrency.timer import Timer
from ..deadline import Deadline
from ..discovery import Discovery, discovery_name
from ..errors import FlyOrmError, NoNode, NotDelivered
from ..registry import make_discovery
from ..settings import Settings
from ..topology import Node
from ..transport import Transport
from .channels import CONNECT_TIMEOUT, NodeChannels, open_channel

log = logging.getLogger("fly_orm")

#: Channels to one node; each carries one request, or one open transaction, at a time.
MAX_CHANNELS = 32
#: A node that could not be reached is tried again, in the background, after so many seconds…
FIRST_INTERVAL = 5.0
#: …and then after twice as many each time, up to these.
LONGEST_INTERVAL = 60.0


class _Aside:
    """A node that could not be reached, and when it will be tried again: that many seconds after the last time."""

    def __init__(self, interval: float) -> None:
        self.interval = interval


class Directory:
    """The nodes of each region, with channels to them. Thread-safe; in a forked process another has to be made.

    A node that could not be reached is *set aside*: it comes last until it has been reached again, which is tried in
    the background, less and less often.
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
        self._first_interval, self._longest_interval = first_interval, longest_interval
        self._lock = threading.Lock()
        self._channels: dict[Node, NodeChannels] = {}
        self._aside: dict[Node, _Aside] = {}
        self._timer = Timer("fly_orm node timer")
        self._warming = threading.Lock()
        self._closed = False

    @property
    def aside(self) -> frozenset[Node]:
        """The nodes that could not be reached and come last."""
        with self._lock:
            return frozenset(self._aside)

    def nodes(self, region: str, deadline: Deadline) -> list[Node]:
        """The nodes of a region, which may be none; NotDelivered if that cannot be told by the deadline."""
        nodes = list(self._discovery.nodes(region, deadline))
        self._forget_others(region, nodes)
        return nodes

    def regions(self, deadline: Deadline) -> list[str]:
        """The names of the regions that have nodes; NotDelivered if that cannot be told by the deadline."""
        return list(self._discovery.regions(deadline))

    def candidates(self, region: str, deadline: Deadline) -> list[Node]:
        """The nodes of a region: in random order, those set aside last; NoNode if there are none."""
        nodes = self.nodes(region, deadline)
        if not nodes:
            self._discovery.refresh(region, deadline)
            nodes = self.nodes(region, deadline)
        if not nodes:
            raise NoNode(
                f"no node in region {region!r}: looked in {self.describe(region)}; run `fly-orm serve` there, "
                f"or say where it runs, for instance FLY_ORM_NODES='{region}=ADDRESS:PORT'"
            )
        return self._in_order(nodes)

    def newcomers(self, region: str, deadline: Deadline, known: Collection[Node]) -> list[Node]:
        """The nodes that are not among the known ones when the region is looked up afresh, as :meth:`candidates`."""
        self._discovery.refresh(region, deadline)
        try:
            nodes = self.nodes(region, deadline)
        except NotDelivered:
            return []
        return self._in_order([node for node in nodes if node not in known])

    def describe(self, region: str) -> str:
        """Where the nodes of a region are looked for, and what was found there last."""
        return self._discovery.describe(region)

    def channels_to(self, node: Node) -> NodeChannels:
        """The channels to a node, made on first use."""
        with self._lock:
            channels = self._channels.get(node)
            if channels is None:
                channels = NodeChannels(
                    self._transport,
                    node,
                    secret=self._settings.secret,
                    region=self._settings.topology.region,
                    max_size=MAX_CHANNELS,
                )
                if self._closed:
                    channels.close()  # those opened nevertheless are closed as soon as they are given back
                else:
                    self._channels[node] = channels
            return channels

    def set_aside(self, node: Node, error: NotDelivered) -> None:
        """Try a node that could not be reached only after the others, until it can."""
        with self._lock:
            if node in self._aside or self._closed:
                return
            aside = self._aside[node] = _Aside(self._first_interval)
            self._schedule(node, aside)
        log.warning("%s is tried only after other nodes, until it can be reached: %s", node, error)
        self._discovery.refresh(node.region, Deadline.after(0))

    def reached(self, node: Node) -> None:
        """A node that may have been set aside is well."""
        if node in self._aside:
            with self._lock:
                back = self._aside.pop(node, None)
            if back is not None:
                log.info("%s can be reached again", node)

    def warm(self, region: str) -> None:
        """Open channels to the nodes of a region in the background, so that the first request finds them."""
        try:
            self._warm(self.nodes(region, Deadline.after(0)))
        except NotDelivered:  # they are being looked up
            if self._warming.acquire(blocking=False):
                try:
                    threading.Thread(
                        target=self._warm_later, args=(region,), name="fly_orm warmer", daemon=True
                    ).start()
                except RuntimeError:  # no more threads to be had: channels are opened when they are needed
                    self._warming.release()

    def close(self) -> None:
        """Close all channels and let go of the nodes that are set aside."""
        with self._lock:
            self._closed = True
            channels, self._channels = list(self._channels.values()), {}
            self._aside.clear()
        self._timer.close()
        for each in channels:
            each.close()

    def _in_order(self, nodes: Sequence[Node]) -> list[Node]:
        shuffled = random.sample(nodes, len(nodes))
        return sorted(shuffled, key=lambda node: node in self._aside)

    def _forget_others(self, region: str, nodes: Collection[Node]) -> None:
        """Close the channels to nodes that the region has no longer, each as soon as it is idle."""
        known = set(nodes)
        with self._lock:
            for node in [node for node in self._aside if node.region == region and node not in known]:
                del self._aside[node]
            gone = [node for node in self._channels if node.region == region and node not in known]
            channels = [self._channels.pop(node) for node in gone]
        for each in channels:
            log.info("%s is gone", each.node)
            each.close()

    def _warm(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node not in self._aside:
                self.channels_to(node).warm()

    def _warm_later(self, region: str) -> None:
        try:
            with suppress(FlyOrmError):  # whoever needs a node meets the same error, and reports it
                self._warm(self.nodes(region, Deadline.after(CONNECT_TIMEOUT)))
        finally:
            self._warming.release()

    def _schedule(self, node: Node, aside: _Aside) -> None:
        with suppress(RuntimeError):  # no more threads to be had: the node is the last resort until it is reached
            self._timer.call_later(aside.interval, lambda: self._start_probe(node, aside))

    def _start_probe(self, node: Node, aside: _Aside) -> None:
        if self._aside.get(node) is not aside:
            return
        try:
            threading.Thread(target=self._probe, args=(node, aside), name="fly_orm probe", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            self._try_later(node, aside)

    def _probe(self, node: Node, aside: _Aside) -> None:
        """Try to reach a node that is set aside; again later if it cannot be, unless it is gone."""
        with suppress(NotDelivered):  # whether it is still there cannot be told
            self.nodes(node.region, Deadline.after(0))
        if self._aside.get(node) is not aside:
            return
        try:
            self._open_one(node)
        except FlyOrmError:
            self._try_later(node, aside)
        else:
            if self._aside.get(node) is aside:
                self.reached(node)
                self.channels_to(node).warm()

    def _open_one(self, node: Node) -> None:
        """Open a channel for proof, where the pool would lend an older one; NotDelivered if it cannot be opened."""
        secret, region = self._settings.secret, self._settings.topology.region
        limit = Deadline.after(CONNECT_TIMEOUT)
        open_channel(self._transport, node, secret=secret, region=region, deadline=limit).close()

    def _try_later(self, node: Node, aside: _Aside) -> None:
        aside.interval = min(2 * aside.interval, self._longest_interval)
        with self._lock:
            if self._aside.get(node) is aside:
                self._schedule(node, aside)
