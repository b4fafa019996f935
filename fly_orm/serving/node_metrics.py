"""The metrics of a node, and the gauges that it adds to those of its process. Needs prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator

from ..prometheus import definitions
from ..prometheus.files import CONTENT_TYPE
from ..prometheus.instrumenting import current
from ..prometheus.readings import Reading
from .executor import Executor
from .http import Page


class NodeMetrics:
    """Keeps metrics of this process from now on, and of the node in it for as long as this object exists."""

    def __init__(self, executor: Executor) -> None:
        self._readings = NodeReadings(executor)
        self._process = current()
        self._process.add(self._readings)

    def page(self) -> Page:
        """The metrics of now."""
        return Page(status=200, text=self._process.text(), content_type=CONTENT_TYPE)


class NodeReadings:
    """Reads the gauges of a node while it serves."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __call__(self) -> Iterator[Reading]:
        """The readings of now."""
        executor = self._executor
        if executor.timer.closed:  # with the executor
            return
        yield Reading(definitions.NODE_DRAINING, (), executor.draining)
        yield Reading(definitions.NODE_CHANNELS, (), len(executor.peers))
        leases = executor.leases
        for name, pool in executor.pools.items():
            usage = pool.places.usage()
            yield Reading(definitions.NODE_LEASES, (name,), leases[name])
            yield Reading(definitions.NODE_CONNECTIONS, (name, "idle"), usage.idle)
            yield Reading(definitions.NODE_CONNECTIONS, (name, "in use"), usage.open - usage.idle)
            yield Reading(definitions.NODE_POOL_SIZE, (name,), usage.most)
            yield Reading(definitions.NODE_WAITING, (name,), executor.waiting(name))
