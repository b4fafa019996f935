"""Turns the spans of the process on and off, as instrumentations for OpenTelemetry do."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from ..findings.version import VERSION
from ..observing import Observation, observe
from .attributes import SCHEMA_URL
from .tracing import Tracing

_lock = threading.Lock()
_current: tuple[Tracing, Observation] | None = None


class FlyOrmInstrumentor:
    """Makes spans of what fly_orm does in this process.

    ``opentelemetry-instrument`` finds it, and so it is part of what that command turns on. Thread-safe.
    """

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether spans are made."""
        return _current is not None

    def instrument(self, *, tracer_provider: TracerProvider | None = None, **_other: Any) -> None:
        """Make spans from now on; nothing more if they are made already.

        They go to ``tracer_provider``, by default the global one, which may be set later. Others of OpenTelemetry's
        options are ignored.
        """
        global _current
        with _lock:
            if _current is None:
                tracing = Tracing(trace.get_tracer("fly_orm", VERSION, tracer_provider, SCHEMA_URL))
                _current = tracing, observe(tracing)

    def uninstrument(self, **_other: Any) -> None:
        """Begin no further span. Those of operations that are under way end as usual."""
        global _current
        with _lock:
            current, _current = _current, None
        if current is not None:
            tracing, observation = current
            tracing.finish(observation.end)
