"""Runs the reads of an application on the nearest replica, and its writes in the primary region.

Wrap the application's database object with :func:`wrap`. In every region, also run ``fly-orm serve``, or call
:func:`serve`. This module has all the names that applications need, except the middleware in :mod:`fly_orm.web` and the
servers for tests in :mod:`fly_orm.testing`. Importing it opens nothing and imports next to nothing: each name imports
what it needs when it is first used.
"""

import importlib as _importlib
import typing as _typing

from .findings import version as _version

if _typing.TYPE_CHECKING:
    from .adapters.psycopg2.factory import connection_factory
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
        NoChannel,
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
    from .functions.calling import call, on_primary
    from .functions.registering import remote
    from .lsn import LSN
    from .observing.listeners import Observation, observe
    from .observing.observer import Observer
    from .observing.tracing import Trace, trace
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

__version__ = _version.VERSION

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
    "NoChannel",
    "NoNode",
    "Node",
    "NotAReplica",
    "NotDelivered",
    "NotPortable",
    "NotPrimary",
    "NotSupported",
    "Observation",
    "Observer",
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
    "Trace",
    "TransactionLost",
    "Transport",
    "WaitError",
    "call",
    "carried",
    "carry",
    "check",
    "configure",
    "connection_factory",
    "database_url",
    "is_primary",
    "my_region",
    "nodes",
    "observe",
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
    "trace",
    "wait_for",
    "why",
    "wrap",
]

#: By module, the public names that it defines.
_DEFINED: dict[str, tuple[str, ...]] = {
    "adapters.psycopg2.factory": ("connection_factory",),
    "checking.health": ("Health", "check"),
    "codec": ("register_type",),
    "deadline": ("Deadline",),
    "discovery": ("Discovery",),
    "errors": (
        "AlreadyCommitted",
        "AuthenticationFailed",
        "ConfigurationError",
        "FlyOrmError",
        "InvalidToken",
        "NoChannel",
        "NoNode",
        "NotAReplica",
        "NotDelivered",
        "NotPortable",
        "NotPrimary",
        "NotSupported",
        "OutcomeUnknown",
        "Refused",
        "RemoteError",
        "ReplicationTimeout",
        "ResultLost",
        "TransactionLost",
        "WaitError",
    ),
    "functions.calling": ("call", "on_primary"),
    "functions.registering": ("remote",),
    "lsn": ("LSN",),
    "observing.listeners": ("Observation", "observe"),
    "observing.observer": ("Observer",),
    "observing.tracing": ("Trace", "trace"),
    "routing.operation_block": ("operation",),
    "runtime.database_url": ("database_url",),
    "runtime.regions": ("PRIMARY", "is_primary", "my_region", "nodes", "primary_region", "regions"),
    "runtime.runtime": ("configure",),
    "serving.node": ("Serving", "serve"),
    "sessions.blocks": ("primary", "replica", "session", "wait_for", "why"),
    "sessions.served": ("Route", "Served"),
    "settings": ("Settings",),
    "tokens.jobs": ("carried", "carry"),
    "tokens.token": ("resume", "token"),
    "topology": ("Node",),
    "transport": ("Channel", "Responder", "Server", "Transport"),
    "waiter": ("LSNWaiter",),
    "wrapping": ("wrap",),
}
_MODULES = {name: module for module, names in _DEFINED.items() for name in names}

if not _typing.TYPE_CHECKING:  # with a __getattr__, a type checker would accept every name

    def __getattr__(name: str) -> _typing.Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_importlib.import_module(f".{_MODULES[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
