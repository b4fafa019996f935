"""What the environment configures; the one module that reads it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .deadline import check_timeout
from .errors import ConfigurationError
from .topology import Node, Topology, parse_nodes

#: Shorter secrets could be guessed from a recorded handshake.
SECRET_MIN_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set from the environment. Explicit arguments win over it; nothing writes it."""

    topology: Topology = field(default_factory=lambda: Topology(region="local", primary_region=None))
    transport: str = "pyro5"
    listen: str = "127.0.0.1:7654"
    nodes: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    discovery: str = ""
    """How nodes are found: a name in the entry-point group ``fly_orm.discoveries``; empty lets the settings decide."""
    waiter: str = "auto"
    """What waits for the replica: a name in the entry-point group ``fly_orm.waiters``."""
    app: str = ""
    """The application's name, under which Fly's private DNS lists its machines."""
    release: str = ""
    """Which release of the application this process runs, for messages."""
    read_only: bool = False
    """Whether connections in a secondary region behave as if to a replica, whatever their server is."""
    secret: str = field(default="", repr=False)
    rpc_timeout: float | None = 5.0
    replication_timeout: float | None = 5.0

    def with_timeouts(self, **timeouts: float | None) -> Settings:
        """These settings with other timeouts, in seconds; ValueError for a negative one."""
        for name, timeout in timeouts.items():
            check_timeout(name, timeout)
        return replace(self, **timeouts)  # type: ignore[arg-type]  # the names are checked by the dataclass

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment gives; ConfigurationError for an unknown name or a malformed value."""
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
    """The URL that Fly.io gives an application which a database is attached to, if there is one."""
    return os.environ.get("DATABASE_URL") or None


def _text(_name: str, value: str) -> str:
    return value


def _nodes(_name: str, value: str) -> Mapping[str, tuple[Node, ...]]:
    return parse_nodes(value)


def _timeout(name: str, value: str) -> float | None:
    if value.lower() == "none":
        return None
    try:
        return check_timeout(name, float(value))
    except ValueError:
        raise ConfigurationError(f"{name}={value!r} is not a number of seconds, 0 or more, nor 'none'") from None


def _switch(name: str, value: str) -> bool:
    switches = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
    if value.lower() not in switches:
        raise ConfigurationError(f"{name}={value!r} is neither 'on' nor 'off'")
    return switches[value.lower()]


def check_secret(value: str) -> str:
    """The secret itself, if it is long enough or empty."""
    if 0 < len(value) < SECRET_MIN_LENGTH:
        raise ConfigurationError(
            f"FLY_ORM_SECRET is {len(value)} characters long and could be guessed; use at least {SECRET_MIN_LENGTH}, "
            "for instance from `openssl rand -hex 32`"
        )
    return value


_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "FLY_ORM_TRANSPORT": ("transport", _text),
    "FLY_ORM_LISTEN": ("listen", _text),
    "FLY_ORM_NODES": ("nodes", _nodes),
    "FLY_ORM_DISCOVERY": ("discovery", _text),
    "FLY_ORM_WAITER": ("waiter", _text),
    "FLY_ORM_RELEASE": ("release", _text),
    "FLY_ORM_READ_ONLY": ("read_only", _switch),
    "FLY_ORM_SECRET": ("secret", lambda _name, value: check_secret(value)),
    "FLY_ORM_RPC_TIMEOUT": ("rpc_timeout", _timeout),
    "FLY_ORM_REPLICATION_TIMEOUT": ("replication_timeout", _timeout),
}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ:
        if name.startswith("FLY_ORM_") and name not in _VARIABLES:
            near = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0)
            raise ConfigurationError(
                f"{name} is no setting of fly_orm; did you mean {near[0]}? Known: {', '.join(_VARIABLES)}"
            )
