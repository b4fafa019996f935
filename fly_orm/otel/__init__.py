"""Spans for OpenTelemetry. They need the extra ``otel``, an SDK, and one call when the process starts::

    from fly_orm.otel import FlyOrmInstrumentor

    FlyOrmInstrumentor().instrument()

``opentelemetry-instrument`` makes that call by itself. docs/tracing.md describes the spans.
"""

try:
    import opentelemetry.trace as _trace  # noqa: F401
except ImportError as error:
    raise ImportError("spans need opentelemetry-api: pip install 'opentelemetry-api>=1.28,<2'") from error

from .instrumentor import FlyOrmInstrumentor

__all__ = ["FlyOrmInstrumentor"]
