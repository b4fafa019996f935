"""What tests of an application need: a real primary and replica, and the network between two places.

For the author of a transport there is :class:`TransportContract`; it needs pytest, which is imported only for it.
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
        raise ImportError("TransportContract needs pytest: pip install 'fly-orm[testing]'") from error
    return TransportContract
