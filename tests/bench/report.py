"""What a benchmark returns, where its figures come from, and how they are written."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.support.tables import Table

from .plot import Plot

METHOD = (
    "medians, each pair of rows measured by turns in one run; the network is a delaying proxy, and it, the servers and "
    "the serving node share these cores"
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one benchmark has found."""

    tables: Sequence[Table]
    plots: Sequence[Plot] = ()

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables))


def hardware(postgres: str) -> str:
    """The processor and the software that figures belong to."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("psycopg2-binary", "peewee", "pony", "Pyro5"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores of {_processor()}; {python}, PostgreSQL {postgres}, {libraries}"


def machine(postgres: str) -> str:
    """Where and how the figures were taken, in two lines."""
    return f"machine: {hardware(postgres)}; load {os.getloadavg()[0]:.1f}\nmethod and bias: {METHOD}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that so many per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ms(seconds: float) -> str:
    """In milliseconds."""
    return f"{seconds * 1000:.2f}"


def us(seconds: float) -> str:
    """In microseconds."""
    return f"{seconds * 1_000_000:.1f}"


def median_ms(seconds: Sequence[float]) -> str:
    """The median, in milliseconds."""
    return ms(median(seconds))
