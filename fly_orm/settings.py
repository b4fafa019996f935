"""What the environment configures. No other module of the core reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .deadline import check_timeout
from .errors import ConfigurationError
from .parsing import parse_pairs, parse_switch, parse_text, parse_timeout, suggestion
from .topology import Node, Topology, parse_nodes

#: Shorter secrets could be guessed from a recorded handshake.
SECRET_MIN_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. An instance that is passed explicitly replaces the environment altogether."""

    topology: Topology = field(default_factory=lambda: Topology(region="local", primary_region=None))
    """The region of this process (``FLY_REGION``, else ``MY_REGION``) and the primary one (``PRIMARY_REGION``)."""
    transport: str = "pyro5"
    """The transport between nodes: a name in the entry-point group ``fly_orm.transports``."""
    transport_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Options of that transport, by name. Their values are text, as in the variable, and may be secret."""
    listen: str = "127.0.0.1:7654"
    """The address that a node serves at, in the transport's own notation."""
    nodes: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """The nodes of each region, by the region's name, for the static discovery."""
    discovery: str = ""
    """What finds nodes: a name in the group ``fly_orm.discoveries``; empty for ``dns`` if there are no ``nodes`` but an
    ``app``, else ``static``."""
    waiter: str = "auto"
    """What waits for the replica: a name in the group ``fly_orm.waiters``."""
    app: str = ""
    """The name of the application on Fly.io, whose private DNS lists its machines (``FLY_APP_NAME``)."""
    release: str = ""
    """The release of the application that this process runs, for messages."""
    read_only: bool = False
    """Whether connections in a secondary region behave as if connected to a replica, whatever their server is."""
    secret: str = field(default="", repr=False)
    """What nodes prove to each other that they know; at least 16 characters, or empty on one machine only."""
    rpc_timeout: float | None = 5.0
    """Seconds that a request to another node may take, 0 or more; None is no limit."""
    replication_timeout: float | None = 5.0
    """Seconds to wait until the replica has replayed a write, 0 or more; None is no limit."""

    def with_timeouts(self, **timeouts: float | None) -> Settings:
        """These settings with other timeouts, in seconds; ValueError for a negative one."""
        for name, timeout in timeouts.items():
            check_timeout(name, timeout)
        return replace(self, **timeouts)  # type: ignore[arg-type]  # the names are checked by the dataclass

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment gives; ConfigurationError for an unknown name or a malformed value.

        A variable that is empty counts as not set.
        """
        environ = os.environ if environ is None else environ
        _refuse_unknown(environ)
        values: dict[str, Any] = {
            field_name: parse(name, environ[name])
            for name, (field_name, parse) in _VARIABLES.items()
            if environ.get(name)
        }
        values.setdefault("release", environ.get("FLY_IMAGE_REF", ""))
        region = environ.get("FLY_REGION") or environ.get("MY_REGION") or "local"
        topology = Topology(region=region, primary_region=environ.get("PRIMARY_REGION") or None)
        return cls(topology=topology, app=environ.get("FLY_APP_NAME", ""), **values)


def database_url_from_environment() -> str | None:
    """``DATABASE_URL``, which Fly.io sets for an application that a database is attached to; None if it is not set."""
    return os.environ.get("DATABASE_URL") or None


def check_secret(value: str) -> str:
    """The secret itself; ConfigurationError if it is shorter than SECRET_MIN_LENGTH, unless it is empty."""
    if 0 < len(value) < SECRET_MIN_LENGTH:
        raise ConfigurationError(
            f"FLY_ORM_SECRET is {len(value)} characters long and could be guessed; use at least {SECRET_MIN_LENGTH}, "
            "for instance from `openssl rand -hex 32`"
        )
    return value


_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "FLY_ORM_TRANSPORT": ("transport", parse_text),
    "FLY_ORM_TRANSPORT_OPTIONS": ("transport_options", parse_pairs),
    "FLY_ORM_LISTEN": ("listen", parse_text),
    "FLY_ORM_NODES": ("nodes", lambda _name, value: parse_nodes(value)),
    "FLY_ORM_DISCOVERY": ("discovery", parse_text),
    "FLY_ORM_WAITER": ("waiter", parse_text),
    "FLY_ORM_RELEASE": ("release", parse_text),
    "FLY_ORM_READ_ONLY": ("read_only", parse_switch),
    "FLY_ORM_SECRET": ("secret", lambda _name, value: check_secret(value)),
    "FLY_ORM_RPC_TIMEOUT": ("rpc_timeout", parse_timeout),
    "FLY_ORM_REPLICATION_TIMEOUT": ("replication_timeout", parse_timeout),
}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ:
        if name.startswith("FLY_ORM_") and name not in _VARIABLES:
            raise ConfigurationError(f"{name} is not a setting of fly_orm; {suggestion(name, _VARIABLES)}")
