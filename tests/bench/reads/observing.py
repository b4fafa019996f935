"""What it adds to a read on the local replica that somebody observes it, or could."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from time import thread_time
from timeit import repeat
from typing import Any

from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import NoOpTracerProvider, TracerProvider
from prometheus_client import CollectorRegistry

import fly_orm
from fly_orm.observing import StatementServed
from fly_orm.observing.listeners import listeners
from fly_orm.observing.log import DEBUG, logs
from fly_orm.otel import FlyOrmInstrumentor
from fly_orm.prometheus import instrument
from tests.support.tables import Table

from ..report import us
from ..world import World

#: What others do on the machine makes a read slower, and never faster. So the fastest round counts.
ROUNDS, READS = 300, 20
_SELECT = "SELECT id, name, number FROM row WHERE id = %s"


class Empty(fly_orm.Observer):
    """Hears how each statement was served, and does nothing."""

    def statement_served(self, event: StatementServed) -> None:
        pass


@contextmanager
def logging_to_nobody() -> Iterator[None]:
    """A block in which each statement is logged, as a line of text that is written to the null device."""
    log = logging.getLogger("fly_orm.statements")
    with Path(os.devnull).open("w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(logging.NOTSET)
            log.propagate = True


@contextmanager
def counting() -> Iterator[None]:
    """A block in which metrics for Prometheus are kept."""
    counted = instrument(CollectorRegistry())
    try:
        yield
    finally:
        counted.end()


@contextmanager
def spans(provider: TracerProvider) -> Iterator[None]:
    """A block in which OpenTelemetry is asked for spans."""
    instrumentor = FlyOrmInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def sdk(sampler: Sampler) -> TracerProvider:
    """OpenTelemetry's SDK, which keeps spans in memory."""
    provider = SdkTracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return provider


#: Blocks in which reads are measured.
WAYS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "nobody": nullcontext,
    "an observer that does nothing": lambda: fly_orm.observe(Empty()),
    "fly_orm.trace()": fly_orm.trace,
    "metrics for Prometheus": counting,
    "OpenTelemetry without an SDK": lambda: spans(NoOpTracerProvider()),
    "OpenTelemetry's SDK, not sampled": lambda: spans(sdk(ALWAYS_OFF)),
    "OpenTelemetry's SDK, in memory": lambda: spans(sdk(ALWAYS_ON)),
    "logging at level DEBUG": logging_to_nobody,
}


def run(world: World) -> Table:
    """Some reads in each way, by turns, over one connection."""
    with world.lax() as database:
        cursor = database.connection().cursor()

        def read() -> None:
            cursor.execute(_SELECT, (1,))
            cursor.fetchall()

        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                with way():
                    read()
                    taken[name].append(_seconds(read))
    usual = min(taken["nobody"])
    rows = [(name, us(min(seconds)), us(min(seconds) - usual)) for name, seconds in taken.items()]
    return Table(
        title=f"processor time of a read, by who observes it (the fastest of {ROUNDS} rounds of {READS} reads each)",
        headings=("", "µs", "more µs"),
        rows=rows,
        result=(
            f"with nobody, to ask whether anybody does takes {us(_question())} µs of it; aims: at most 0.2 µs, and "
            "3 µs more for Prometheus"
        ),
    )


def _seconds(read: Callable[[], None]) -> float:
    """The processor time of one read, in seconds."""
    started = thread_time()
    for _ in range(READS):
        read()
    return (thread_time() - started) / READS


def _question() -> float:
    """Seconds for the question that each read asks first; see ``RoutingCursor.execute``."""
    names = {"listeners": listeners, "logs": logs, "DEBUG": DEBUG}
    count = 100_000
    asked = repeat("listeners.statements or logs(DEBUG)", globals=names, number=count, repeat=7, timer=thread_time)
    return min(asked) / count
