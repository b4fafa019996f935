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
_observation: Observation | None = None


class FlyOrmInstrumentor:
    """Makes spans of what fly_orm does in this process.

    ``opentelemetry-instrument`` finds it, and so it is part of what that command turns on. Thread-safe.
    """

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether spans are made."""
        return _observation is not None

    def instrument(self, *, tracer_provider: TracerProvider | None = None, **_other: Any) -> None:
        """Make spans from now on; nothing more if they are made already.

        They go to ``tracer_provider``, by default the global one, which may be set later. Others of OpenTelemetry's
        options are ignored.
        """
        global _observation
        with _lock:
            if _observation is None:
                tracer = trace.get_tracer("fly_orm", VERSION, tracer_provider, SCHEMA_URL)
                _observation = observe(Tracing(tracer))

    def uninstrument(self, **_other: Any) -> None:
        """Make no more spans."""
        global _observation
        with _lock:
            observation, _observation = _observation, None
        if observation is not None:
            observation.end()
