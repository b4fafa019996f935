"""What the environment configures. No other module of the core reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .parsing import (
    Limit,
    given_timeout,
    parse_pairs,
    parse_switch,
    parse_text,
    parse_timeout,
    parse_workers,
    suggestion,
)
from .protocol.elements import MAX_ELEMENTS
from .protocol.secret import Secrets
from .topology import Node, Topology, parse_nodes
from .transport import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from .protocol.tls import Tls


def _limit(value: Any, meaning: str, **options: Any) -> Any:
    return field(default=value, metadata={"limit": Limit(meaning=meaning, **options)})


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
    workers: int | None = 1
    """The processes that ``fly-orm serve`` serves with; None is one for each core."""
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
    secret: str | Secrets = field(default="", repr=False)
    """The secret, of at least 16 characters, or empty on one machine only; nodes prove to each other that they hold it.
    Commas or whitespace separate several values, of which the first signs and all verify."""
    tls_cert: str = ""
    """The PEM file with the certificate of this process; with ``tls_key`` and ``tls_ca``, channels are encrypted."""
    tls_key: str = ""
    """The PEM file with its private key, not encrypted."""
    tls_ca: str = ""
    """The PEM file with the certificates of the authorities that have issued those of all peers."""
    rpc_timeout: float | None = 5.0
    """Seconds that a request to another node may take, 0 or more; None is no limit."""
    replication_timeout: float | None = 5.0
    """Seconds to wait until the replica has replayed a write, 0 or more; None is no limit."""
    pool_size: int = _limit(
        10, "the most statements and transactions that run at a time in each database, and the most functions", least=1
    )
    peer_leases: int | None = _limit(
        None,
        "how many of the `pool_size` places the processes of one machine may take at a time",
        least=1,
        unset="four fifths",
    )
    statement_timeout: float | None = _limit(
        600.0,
        "seconds that a statement, or a batch of them, may run, whatever its caller allows, and that a long `COPY` may "
        "stand still; a `COMMIT` has no limit",
        unit="seconds",
    )
    idle_timeout: float | None = _limit(
        60.0,
        "seconds without a statement after which a transaction is rolled back; one whose caller hangs or cannot be "
        "reached ends after 15",
        unit="seconds",
    )
    max_result_bytes: int = _limit(
        MAX_MESSAGE_BYTES,
        "the most bytes of a result that travels as a whole, or of sixteen rows of one that travels in pieces",
        unit="bytes",
        least=1024,
        most=MAX_MESSAGE_BYTES,
    )
    drain_timeout: float | None = _limit(
        None,
        "seconds in which requests in progress may finish when a node stops",
        unit="seconds",
        unset="the longest timeout of a registered function, at least 5",
    )
    max_channels: int = _limit(
        32,
        "the most channels of a process to one node; each carries one request or transaction",
        least=1,
        of_callers=True,
    )
    channel_idle_timeout: float | None = _limit(
        30.0,
        "seconds without use after which a process closes a channel, except for two",
        unit="seconds",
        of_callers=True,
    )
    max_elements: int = _limit(
        MAX_ELEMENTS,
        "the most values, containers included, in the arguments of a call, in its result, and in one request",
        least=1024,
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", self.secrets)
        for name in ("rpc_timeout", "replication_timeout"):
            object.__setattr__(self, name, given_timeout(name, getattr(self, name)))

    @property
    def takes_server_for_replica(self) -> bool:
        """Whether connections behave as if connected to a replica, whatever their server is."""
        return self.read_only and not self.topology.is_primary

    @property
    def secrets(self) -> Secrets:
        """The secrets, as values that show nothing of themselves."""
        return self.secret if isinstance(self.secret, Secrets) else Secrets(self.secret)

    def tls(self) -> Tls | None:
        """What encrypts channels, for a transport to keep; None if it is not to encrypt them.

        ConfigurationError if only some of the files for it are named, or one of them cannot be used.
        """
        if not (self.tls_cert or self.tls_key or self.tls_ca):
            return None
        from .protocol.tls import Tls, TlsFiles  # most processes do not need it, and it takes a while to import

        return Tls(TlsFiles(certificate=self.tls_cert, key=self.tls_key, authority=self.tls_ca).check())

    def with_timeouts(self, **timeouts: float | str | None) -> Settings:
        """These settings with other timeouts, as numbers or texts; ConfigurationError for what is not a timeout."""
        return replace(self, **timeouts)  # type: ignore[arg-type]  # checked when they are made

    def with_limits(self, **values: Any) -> Settings:
        """These settings with other limits, by name; ConfigurationError for one that is out of bounds."""
        for name in values:
            if name not in LIMITS:
                raise ConfigurationError(f"there is no limit {name!r}; {suggestion(name, LIMITS)}")
        return replace(self, **{name: LIMITS[name].check(name, value) for name, value in values.items()})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment gives.

        A variable that is empty counts as not set. ConfigurationError for an unknown name, a malformed value, and a
        variable whose two spellings have different values.
        """
        environ = _Environment(os.environ if environ is None else environ)
        _refuse_unknown(environ)
        _refuse_conflicts(environ)
        values: dict[str, Any] = {
            field_name: parse(spelling, environ[spelling])
            for name, (field_name, parse) in VARIABLES.items()
            if (spelling := environ.first_set(_spellings(name)))
        }
        values.setdefault("release", environ.get("FLY_IMAGE_REF", ""))
        region = environ.get("FLY_REGION") or environ.get("MY_REGION") or "local"
        topology = Topology(region=region, primary_region=environ.get("PRIMARY_REGION") or None)
        return cls(topology=topology, app=environ.get("FLY_APP_NAME", ""), **values)


#: The limits among the settings, by name.
LIMITS: Mapping[str, Limit] = {
    setting.name: setting.metadata["limit"] for setting in fields(Settings) if "limit" in setting.metadata
}


def variable_of(limit: str) -> str:
    """The name of the variable that sets a limit."""
    return f"FLY_ORM_{limit.upper()}"


#: The variables that other fields of the settings come from, and the topology's; the first that is set counts.
_OTHERS = {
    "region": ("FLY_REGION", "MY_REGION"),
    "primary_region": ("PRIMARY_REGION",),
    "app": ("FLY_APP_NAME",),
    "release": ("FLY_ORM_RELEASE", "FLYORM_RELEASE", "FLY_IMAGE_REF"),
}


def variables_set(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variable that each setting would come from, by the setting's name, without those not set."""
    environ = _Environment(os.environ if environ is None else environ)
    names = {field_name: _spellings(name) for name, (field_name, _) in VARIABLES.items()} | _OTHERS
    found = {setting: environ.first_set(variables) for setting, variables in names.items()}
    return {setting: variable for setting, variable in found.items() if variable is not None}


def misspelt_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables that look like misspelt ones of fly_orm's, each with the one that it resembles."""
    environ = _Environment(os.environ if environ is None else environ)
    known = {_letters(name): name for name in (*VARIABLES, "FLY_REGION", "MY_REGION", "PRIMARY_REGION")}
    found = {}
    for name in environ.keys() - known.values() - set(map(_on_fly, known.values())):
        if not any(part in _letters(name) for part in ("FLY", "ORM", "REGION", "PRIMARY")):
            continue  # as most are, and comparing takes a while
        cutoff = 0.5 if _letters(name).startswith("FLYORM") else 0.9
        for near in get_close_matches(_letters(name), known, n=1, cutoff=cutoff):
            found[name] = known[near]
    return found


def _on_fly(name: str) -> str:
    """The spelling for Fly.io's ``[env]``, which takes no names that begin with ``FLY_``."""
    return name.replace("FLY_ORM_", "FLYORM_")


def _spellings(name: str) -> tuple[str, str]:
    return name, _on_fly(name)


def _letters(name: str) -> str:
    """What is left of a name if case and separators do not count."""
    return "".join(filter(str.isalnum, name)).upper()


def environment_with(**variables: str) -> dict[str, str]:
    """The environment for a child process, with these variables."""
    return {**os.environ, **variables}


def geqo_from_environment() -> str | None:
    """The setting ``geqo`` that libpq requests for each session, if it does; its parameters do not show that."""
    value = os.environ.get("PGGEQO")
    return None if value is None or value.lower() == "default" else value


def database_url_from_environment() -> str | None:
    """``DATABASE_URL``, which Fly.io sets for an application that a database is attached to; None if it is not set."""
    return os.environ.get("DATABASE_URL") or None


class _Environment(dict[str, str]):
    """The variables, some of which are secret: a traceback with local variables shows the names alone."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"

    def first_set(self, names: tuple[str, ...]) -> str | None:
        """The first of these names whose variable is set, and not empty."""
        return next(filter(self.get, names), None)


def _parse_secrets(name: str, text: str) -> Secrets:
    secrets = Secrets(text)
    del text  # which a traceback with local variables would show
    return secrets.check(name)


#: The variables, each with the name of its field and what reads its text.
VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "FLY_ORM_TRANSPORT": ("transport", parse_text),
    "FLY_ORM_TRANSPORT_OPTIONS": ("transport_options", parse_pairs),
    "FLY_ORM_LISTEN": ("listen", parse_text),
    "FLY_ORM_WORKERS": ("workers", parse_workers),
    "FLY_ORM_NODES": ("nodes", parse_nodes),
    "FLY_ORM_DISCOVERY": ("discovery", parse_text),
    "FLY_ORM_WAITER": ("waiter", parse_text),
    "FLY_ORM_RELEASE": ("release", parse_text),
    "FLY_ORM_READ_ONLY": ("read_only", parse_switch),
    "FLY_ORM_SECRET": ("secret", _parse_secrets),
    "FLY_ORM_TLS_CERT": ("tls_cert", parse_text),
    "FLY_ORM_TLS_KEY": ("tls_key", parse_text),
    "FLY_ORM_TLS_CA": ("tls_ca", parse_text),
    "FLY_ORM_RPC_TIMEOUT": ("rpc_timeout", parse_timeout),
    "FLY_ORM_REPLICATION_TIMEOUT": ("replication_timeout", parse_timeout),
    **{variable_of(name): (name, limit.parse) for name, limit in LIMITS.items()},
}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for prefix, spell in (("FLY_ORM_", str), ("FLYORM_", _on_fly)):
        known = list(map(spell, VARIABLES))
        for name in environ:
            if name.startswith(prefix) and name not in known:
                raise ConfigurationError(f"{name} is not a setting of fly_orm; {suggestion(name, known)}")


def _refuse_conflicts(environ: Mapping[str, str]) -> None:
    for name, other in map(_spellings, VARIABLES):
        if environ.get(name) and environ.get(other) and environ[name] != environ[other]:
            raise ConfigurationError(
                f"{name} and {other} are two spellings of one setting, and have different values; unset one of them"
            )
