"""The benchmarks by name, in the order in which they run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FOLDERS = {
    "writes": (
        "latency",
        "round_trips",
        "node_cpu",
        "budget",
        "transactions",
        "exactly_once",
        "functions",
        "throughput",
        "workers",
        "computing",
        "eager",
        "stalls",
    ),
    "reads": ("local_reads", "observing", "read_your_writes", "waiting", "late_replica"),
    "wire": ("wire", "tls", "transports"),
    "size": ("imports", "memory", "leaks", "results"),
    "growth": ("growth",),
    "endurance": ("load", "idle_channels", "soak", "strangers", "peers"),
}
#: These take minutes each, and run only if they are named.
LONG = frozenset({"eager", "stalls", "late_replica", "transports", *FOLDERS["endurance"]})

#: The module of each benchmark.
MODULES = {name: f"tests.bench.{folder}.{name}" for folder, names in FOLDERS.items() for name in names}
#: Those that run unless others are named.
USUAL = tuple(name for name in MODULES if name not in LONG)


def load(name: str) -> Any:
    """The module of a benchmark."""
    return import_module(MODULES[name])


def summary(name: str) -> str:
    """The first line of what a benchmark says about itself."""
    return (load(name).__doc__ or "").partition("\n")[0]
