"""Metrics for Prometheus. They need the extra ``prometheus``, and one call when the process starts::

    from fly_orm.prometheus import instrument

    instrument()

A node that serves HTTP has them at ``/metrics`` without it. docs/metrics.md lists them.

Imports ``observing``, ``routing`` and the layers below these.
"""

try:
    import prometheus_client as _prometheus_client  # noqa: F401
except ImportError as error:
    raise ImportError("metrics need prometheus-client: pip install 'prometheus-client>=0.20,<1'") from error

from .instrumenting import Instrumentation, instrument

__all__ = ["Instrumentation", "instrument"]
