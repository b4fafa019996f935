"""Makes spans of this process, and writes each of them as a line of JSON to the file that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from fly_orm.otel import FlyOrmInstrumentor

lines = Path(os.environ["SPANS"]).open("a", buffering=1)  # noqa: SIM115  # for as long as the process runs
exporter = ConsoleSpanExporter(out=lines, formatter=lambda span: f"{span.to_json(indent=None)}\n")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
FlyOrmInstrumentor().instrument()
