"""Runs the reads of an application on the nearest replica, and its writes in the primary region.

Wrap the application's database object with :func:`wrap`. In every region, also run ``fly-orm serve``, or call
:func:`serve`. This module has all the names that applications need, except the middleware in :mod:`fly_orm.web` and the
servers for tests in :mod:`fly_orm.testing`. Importing it imports no ORM and opens nothing.
"""

from .checking.health import Health, check
from .codec import register_type
from .deadline import Deadline
from .discovery import Discovery
from .errors import (
    AlreadyCommitted,
    AuthenticationFailed,
    ConfigurationError,
    FlyOrmError,
    InvalidToken,
    NoNode,
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
from .findings import versions as _versions
from .functions.calling import call, on_primary
from .functions.registering import remote
from .lsn import LSN
from .routing.operation_block import operation
from .runtime.database_url import database_url
from .runtime.regions import PRIMARY, is_primary, my_region, nodes, primary_region, regions
from .runtime.runtime import configure
from .serving.node import Serving, serve
from .sessions.blocks import primary, replica, session, wait_for, why
from .sessions.served import Route, Served
from .settings import Settings
from .tokens.jobs import carried, carry
from .tokens.token import resume, token
from .topology import Node
from .transport import Channel, Responder, Server, Transport
from .waiter import LSNWaiter
from .wrapping import wrap

__version__ = _versions.VERSION

__all__ = [
    "LSN",
    "PRIMARY",
    "AlreadyCommitted",
    "AuthenticationFailed",
    "Channel",
    "ConfigurationError",
    "Deadline",
    "Discovery",
    "FlyOrmError",
    "Health",
    "InvalidToken",
    "LSNWaiter",
    "NoNode",
    "Node",
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
    "call",
    "carried",
    "carry",
    "check",
    "configure",
    "database_url",
    "is_primary",
    "my_region",
    "nodes",
    "on_primary",
    "operation",
    "primary",
    "primary_region",
    "regions",
    "register_type",
    "remote",
    "replica",
    "resume",
    "serve",
    "session",
    "token",
    "wait_for",
    "why",
    "wrap",
]
