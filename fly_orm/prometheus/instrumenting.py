"""The metrics of this process: from when on there are some, and their text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry

from ..errors import ConfigurationError
from ..observing import observe
from .counting import Counting
from .files import VARIABLE, is_multiprocess, text_of, text_of_all_processes
from .gauges import SampledGauges, ScrapedGauges
from .readings import Readings, Source


class Instrumentation:
    """Keeps the metrics of this process; made by :func:`instrument`. Thread-safe and fork-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._readings = Readings()
        self._sampled: SampledGauges | None = None
        if is_multiprocess():
            self._sampled = SampledGauges(self._readings)
            self._sampled.begin()
        self._counting = Counting(None if self._sampled is None else self._sampled.begin)
        self._collectors = [] if self._sampled is not None else [ScrapedGauges(self._readings), *self._counting.metrics]
        _register(registry, self._collectors)
        self._observation = observe(self._counting)

    def add(self, source: Source) -> None:
        """Read gauges from a source, too, for as long as it exists."""
        self._readings.add(source)

    def text(self) -> str:
        """All metrics of the registry; in multiprocess mode, those of all processes."""
        if self._sampled is None:
            return text_of(self.registry)
        self._sampled.sample()
        return text_of_all_processes()

    def end(self) -> None:
        """Count nothing more, and remove the metrics from the registry. May be called twice."""
        global _current
        with _lock:
            if _current is not self:
                return
            _current = None
        self._observation.end()
        if self._sampled is not None:
            self._sampled.close()
        for collector in self._collectors:
            self.registry.unregister(collector)


def _register(registry: CollectorRegistry, collectors: Sequence[Any]) -> None:
    """Add all collectors to a registry; ConfigurationError, and none of them is added, if that is not possible."""
    added = []
    try:
        for collector in collectors:
            registry.register(collector)
            added.append(collector)
    except ValueError as error:
        for collector in added:
            registry.unregister(collector)
        raise ConfigurationError(f"the registry has metrics of these names already: {error}") from error


_lock = threading.Lock()
_current: Instrumentation | None = None


def instrument(registry: CollectorRegistry = REGISTRY) -> Instrumentation:
    """Keep metrics of what fly_orm does in this process, in a registry of prometheus_client's.

    Call it when the application starts, in every process or in the one that the others are forked from. In multiprocess
    mode the metrics are in the files of ``PROMETHEUS_MULTIPROC_DIR``, and in no registry. A second call returns what
    the first has returned. Thread-safe.

    Returns what ends it. ConfigurationError if the metrics are in another registry already, the registry has other
    metrics of these names, or the folder is missing.
    """
    global _current
    with _lock:
        if _current is None:
            _current = _made(registry)
        elif _current.registry is not registry:
            raise ConfigurationError(
                "the metrics of this process are in another registry already; call fly_orm.prometheus.instrument() "
                "once, before serve_http(), which uses its registry"
            )
        return _current


def _made(registry: CollectorRegistry) -> Instrumentation:
    try:
        return Instrumentation(registry)
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep metrics in the folder that {VARIABLE} names: {error}; make it before the process starts"
        ) from error


def current() -> Instrumentation:
    """What keeps the metrics of this process; from now on, there is something."""
    with _lock:
        found = _current
    return found or instrument()


def forget() -> None:
    """End the metrics of this process, if there are any. For tests."""
    if _current is not None:
        _current.end()
