"""fly_orm: reads from the replica next door, writes in the primary region, and always your own writes.

Start with :func:`wrap`; a node of the primary region also calls :func:`serve`, or runs ``fly-orm serve``.
"""

from .errors import (
    AuthenticationFailed,
    ConfigurationError,
    FlyOrmError,
    NotAReplica,
    NotDelivered,
    NotPortable,
    NotPrimary,
    NotSupported,
    OutcomeUnknown,
    Refused,
    RemoteError,
    ReplicationTimeout,
    ResultLost,
    TransactionLost,
    WaitError,
)
from .lsn import LSN
from .server import Serving, serve
from .session import Route, Served, primary, why
from .settings import Settings
from .transport import Channel, Responder, Server, Transport
from .waiter import LSNWaiter
from .wrapping import wrap

__all__ = [
    "LSN",
    "AuthenticationFailed",
    "Channel",
    "ConfigurationError",
    "FlyOrmError",
    "LSNWaiter",
    "NotAReplica",
    "NotDelivered",
    "NotPortable",
    "NotPrimary",
    "NotSupported",
    "OutcomeUnknown",
    "Refused",
    "RemoteError",
    "ReplicationTimeout",
    "Responder",
    "ResultLost",
    "Route",
    "Served",
    "Server",
    "Serving",
    "Settings",
    "TransactionLost",
    "Transport",
    "WaitError",
    "primary",
    "serve",
    "why",
    "wrap",
]
