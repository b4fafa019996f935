"""Shows what is read: as it is at the moment of a scrape, or else as it was some seconds ago."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import Gauge
from prometheus_client.metrics_core import GaugeMetricFamily

from ..concurrency.background import BackgroundTask
from ..concurrency.forks import abandon_in_children
from ..concurrency.timer import Timer, TimerClosed
from .definitions import DEFINITIONS, Definition
from .readings import Readings

#: Seconds between two readings in multiprocess mode, where processes are not asked when somebody scrapes.
INTERVAL = 10.0
_GAUGES = [definition for definition in DEFINITIONS if definition.type == "gauge"]


class ScrapedGauges:
    """A collector that reads the gauges when it is asked for them."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, without values."""
        return iter(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, with the values of now."""
        families = _families()
        for gauge, labels, value in self._readings.read():
            families[gauge].add_metric(labels, value)
        return (family for family in families.values() if family.samples)


def _families() -> dict[Definition, GaugeMetricFamily]:
    return {each: GaugeMetricFamily(each.name, each.meaning, labels=each.labels) for each in _GAUGES}


class SampledGauges:
    """Gauges in the files of multiprocess mode, which this process sets now and then. Thread-safe and fork-safe."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._made = {
            each: Gauge(each.name, each.meaning, each.labels, registry=None, multiprocess_mode=each.merged)
            for each in _GAUGES
        }
        self._begin()

    def _begin(self) -> None:
        self._timer = Timer("the timer of the metrics")
        self._task = BackgroundTask("fly_orm metrics", self.sample)
        self._begun = False
        self._shown: set[tuple[Definition, tuple[str, ...]]] = set()
        abandon_in_children(self)

    def abandon(self) -> None:
        """Begin anew in a forked child, which writes files of its own."""
        self._begin()

    def begin(self) -> None:
        """Set the gauges from now on, if that has not begun. Returns at once."""
        if not self._begun:
            self._begun = True
            self._sample_and_go_on()

    def close(self) -> None:
        """Set the gauges no more."""
        self._begun = True
        self._timer.close()

    def sample(self) -> None:
        """Set the gauges to the values of now."""
        read = {(each.gauge, each.labels): each.value for each in self._readings.read()}
        for gauge, labels in self._shown - set(read):  # what was written to the files cannot be removed
            self._set(gauge, labels, math.nan if gauge.merged == "livemostrecent" else 0)
        for (gauge, labels), value in read.items():
            self._set(gauge, labels, value)
        self._shown = set(read)

    def _set(self, definition: Definition, labels: tuple[str, ...], value: float) -> None:
        gauge = self._made[definition]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def _sample_and_go_on(self) -> None:
        with suppress(TimerClosed):
            self._timer.call_later(INTERVAL, self._sample_and_go_on)
        self._task.start()
