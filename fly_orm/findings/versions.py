"""Which versions of fly_orm and of its driver this process runs."""

from __future__ import annotations

import platform

import psycopg2
from psycopg2 import extensions as ext

from .version import VERSION


def driver_version() -> str:
    """The version of psycopg2, without its build options."""
    return str(vars(psycopg2)["__version__"]).split(" ", 1)[0]


def versions() -> dict[str, str]:
    """The versions of fly_orm, Python, psycopg2 and libpq."""
    libpq = ext.libpq_version()
    return {
        "fly_orm": VERSION,
        "Python": platform.python_version(),
        "psycopg2": driver_version(),
        "libpq": f"{libpq // 10000}.{libpq % 10000}",
    }
