"""For tests of applications and transports: a real primary and replica, and a network that fails on demand.

:class:`TwoRegions` is an application in two regions; ``docs/testing.md`` describes its fixtures for pytest. Authors of
a transport use :class:`TransportContract`. It needs pytest, which is imported only then. Nothing else in fly_orm
imports this folder, and nothing in it is loaded before it is needed: pytest imports the plug-in wherever fly_orm is
installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .binaries import PostgresNotFound
    from .cluster import Cluster
    from .contract.suite import TransportContract
    from .round_robin import RoundRobin
    from .server import Server
    from .two_regions import TwoRegions
    from .wan import Wan

__all__ = ["Cluster", "PostgresNotFound", "RoundRobin", "Server", "TransportContract", "TwoRegions", "Wan"]

_MODULES = {
    "Cluster": "cluster",
    "PostgresNotFound": "binaries",
    "RoundRobin": "round_robin",
    "Server": "server",
    "TransportContract": "contract.suite",
    "TwoRegions": "two_regions",
    "Wan": "wan",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError(f"{name} needs pytest: pip install 'pytest>=8'") from error
    globals()[name] = value
    return value
