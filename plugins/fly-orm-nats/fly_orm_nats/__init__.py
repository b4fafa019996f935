"""fly_orm over NATS: a transport, and a discovery that finds the nodes through the NATS cluster."""

from .discovery import NatsDiscovery
from .transport import NatsTransport

__all__ = ["NatsDiscovery", "NatsTransport"]
