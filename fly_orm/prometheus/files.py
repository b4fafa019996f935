"""The files in which several processes keep their metrics, so that any of them can show those of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, multiprocess, values

#: The content type of what is shown: the format that every version of Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: The variable that names the folder with the files.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_make_collector: Callable[[None, str | None], Any] = multiprocess.MultiProcessCollector  # which has no types
_mark_dead: Callable[[int, str], Any] = multiprocess.mark_process_dead


def is_multiprocess() -> bool:
    """Whether this process keeps its metrics in files, as ``PROMETHEUS_MULTIPROC_DIR`` says."""
    return values.ValueClass is not values.MutexValue


def text_of(registry: CollectorRegistry) -> str:
    """The metrics in a registry, as Prometheus reads them."""
    return str(generate_latest(registry), "utf-8")


def text_of_all_processes(folder: str | None = None) -> str:
    """The metrics in a folder; None is that of ``PROMETHEUS_MULTIPROC_DIR``."""
    registry = CollectorRegistry()
    registry.register(_make_collector(None, folder))
    return text_of(registry)


def forget_gauges(pid: int, folder: str) -> None:
    """Remove the gauges of a process that has ended. What it has counted stays part of the sums."""
    _mark_dead(pid, folder)
