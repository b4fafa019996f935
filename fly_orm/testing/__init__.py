"""For tests of applications and transports: a real primary and replica, and a network that fails on demand.

Authors of a transport use :class:`TransportContract`. It needs pytest, which is imported only then. Nothing else in
fly_orm imports this folder, and it imports only errors, deadlines and, for the contract, the interfaces.
"""

from typing import TYPE_CHECKING, Any

from .binaries import PostgresNotFound
from .cluster import Cluster
from .server import Server
from .wan import Wan

if TYPE_CHECKING:
    from .contract.suite import TransportContract

__all__ = ["Cluster", "PostgresNotFound", "Server", "TransportContract", "Wan"]


def __getattr__(name: str) -> Any:
    if name != "TransportContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .contract.suite import TransportContract
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError("TransportContract needs pytest: pip install 'pytest>=8'") from error
    return TransportContract
