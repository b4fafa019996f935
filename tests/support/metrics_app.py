"""The application of ``gunicorn_app`` with its metrics at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from tests.support import gunicorn_app


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The metrics of all processes, or what the application answers."""
    if environ["PATH_INFO"] != "/metrics":
        return gunicorn_app.application(environ, start_response)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    answer: Iterable[bytes] = make_wsgi_app(registry)(environ, start_response)
    return answer
