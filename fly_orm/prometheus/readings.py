"""What is read when somebody wants to know, rather than counted as it happens."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from weakref import WeakSet

from ..concurrency.forks import abandon_in_children
from ..findings.version import VERSION
from ..routing.router import Router, routers
from ..runtime.runtime import default_runtime, open_forwarders
from . import definitions
from .definitions import Definition
from .lag import Answer, LagMeter

log = logging.getLogger("fly_orm")


class Reading(NamedTuple):
    """A value of a gauge."""

    gauge: Definition
    labels: tuple[str, ...]
    value: float


#: Reads gauges. It is not called by two threads at a time, and should not take longer than a second.
Source = Callable[[], Iterable[Reading]]


class Readings:
    """All gauges of the process, and of the node in it, if there is one. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self._process = ProcessReadings()
        self._sources: WeakSet[Source] = WeakSet([self._process])
        self._lock = threading.Lock()
        abandon_in_children(self)

    def abandon(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = threading.Lock()
        abandon_in_children(self)

    def add(self, source: Source) -> None:
        """Read from a source, too, for as long as it exists."""
        self._sources.add(source)

    def read(self) -> list[Reading]:
        """The readings of now. If a source fails, that is logged, and its other gauges are missing."""
        read: list[Reading] = []
        with self._lock:
            for source in list(self._sources):
                try:
                    read.extend(source())
                except Exception:
                    log.exception("some of the metrics cannot be read", extra={"event": "metrics_failed"})
        return read


class ProcessReadings:
    """The gauges of any process: its channels to nodes, and the replicas of its databases."""

    def __init__(self) -> None:
        self._lag = LagMeter()

    def __call__(self) -> Iterator[Reading]:
        """The readings of now."""
        yield Reading(definitions.INFO, (VERSION, default_runtime().settings.topology.region), 1)
        yield from _channels()
        named = [router for router in routers() if router.has_name]
        for router in named:
            if router.local.detour.replaces_replica:
                yield Reading(definitions.REPLICA_UP, (router.name,), 0)
        ours = [router for router in named if not router.local.at_primary]
        for router, answer in self._lag.read(ours):
            yield from self._replica(router, answer)

    def _replica(self, router: Router, answer: Answer) -> Iterator[Reading]:
        labels, replication = (router.name,), answer.replication
        if replication is not None or (answer.is_silent and router.local.at_primary is False):
            yield Reading(definitions.REPLICA_UP, labels, not answer.is_silent)
        if replication is not None or router.local.at_primary is False:
            yield Reading(definitions.REPLICA_LATE, labels, router.local.replica.is_late)
        if replication is None:
            return
        yield Reading(definitions.REPLICA_RECEIVING, labels, replication.receiving)
        if replication.missing_bytes is not None:
            yield Reading(definitions.REPLICA_LAG_BYTES, labels, replication.missing_bytes)
        if replication.seconds is not None:
            yield Reading(definitions.REPLICA_LAG_SECONDS, labels, replication.seconds)


def _channels() -> Iterator[Reading]:
    """The channels to the nodes of each region, and how many of these nodes are tried last."""
    opened: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    aside: Counter[str] = Counter()
    for forwarder in open_forwarders():
        for channels in forwarder.directory.channels:
            region, usage = channels.node.region, channels.usage()
            opened[region] += usage.open
            idle[region] += usage.idle
        aside.update(node.region for node in forwarder.directory.missing)
    for region in {*opened, *aside}:
        yield Reading(definitions.CHANNELS, (region, "idle"), idle[region])
        yield Reading(definitions.CHANNELS, (region, "in use"), opened[region] - idle[region])
        yield Reading(definitions.NODES_SET_ASIDE, (region,), aside[region])
