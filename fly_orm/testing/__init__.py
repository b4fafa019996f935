"""What tests of an application need: a real primary and replica, and the network between two places."""

from .binaries import PostgresNotFound
from .cluster import Cluster
from .server import Server
from .wan import Wan

__all__ = ["Cluster", "PostgresNotFound", "Server", "Wan"]
