"""How to reach NATS: read from the variables that NATS's own command line uses, in this module only."""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from fly_orm.errors import ConfigurationError

#: The server to connect to if NATS_URL is not set.
DEFAULT_URL = "nats://127.0.0.1:4222"
_PORT = 4222
_FILES = ("NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT", "NATS_KEY")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One NATS server, and the credentials for it."""

    url: str
    """Without credentials, so that messages can show it."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """The NATS servers to connect to, and the credentials."""

    targets: tuple[Target, ...]
    creds: str | None = None
    """File with a user's JWT and key, as ``nsc`` writes it."""
    nkey: str | None = None
    """File with the seed of a user's NKey."""
    ca: str | None = None
    """File with the certificate authorities that the server's certificate is checked against."""
    cert: str | None = None
    """File with this process's own certificate."""
    key: str | None = None
    """File with the key of that certificate."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> ConnectOptions:
        """The options that ``NATS_*`` variables give; ConfigurationError for a malformed value or a missing file."""
        environ = os.environ if environ is None else environ
        files = {name.removeprefix("NATS_").lower(): _file(name, environ.get(name)) for name in _FILES}
        if bool(files["cert"]) != bool(files["key"]):
            raise ConfigurationError("NATS_CERT and NATS_KEY go together: set both or neither")
        if files["creds"] or files["nkey"]:
            _require_nkeys()
        user, password = environ.get("NATS_USER") or None, environ.get("NATS_PASSWORD") or None
        urls = (environ.get("NATS_URL") or DEFAULT_URL).split(",")
        targets = tuple(_target(url.strip(), user, password) for url in urls if url.strip())
        if not targets:
            raise ConfigurationError("NATS_URL names no server")
        return cls(targets=targets, **files)

    def arguments(self, target: Target) -> dict[str, Any]:
        """The arguments of nats-py's ``connect`` for this server."""
        given = {"user": target.user, "password": target.password, "token": target.token, "tls": self._tls(target)}
        given |= {"user_credentials": self.creds, "nkeys_seed": self.nkey}
        return {name: value for name, value in given.items() if value is not None}

    def _tls(self, target: Target) -> ssl.SSLContext | None:
        if not (self.ca or self.cert or target.url.startswith("tls:")):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"NATS_CA, NATS_CERT or NATS_KEY cannot be used: {error}") from error
        return context


def _require_nkeys() -> None:
    if importlib.util.find_spec("nkeys") is None:
        raise ConfigurationError("NATS_CREDS and NATS_NKEY need nkeys: pip install 'nats-py[nkeys]>=2.10,<3'")


def _file(name: str, path: str | None) -> str | None:
    if path and not os.path.isfile(path):  # noqa: PTH113  # which takes no path for an error, however long it is
        raise ConfigurationError(f"{name}={path!r:.100} is not a file")
    return path or None


def _target(text: str, user: str | None, password: str | None) -> Target:
    """The server that a part of NATS_URL names. Credentials in the URL override ``user`` and ``password``."""
    try:
        url = urlsplit(text if "://" in text else f"nats://{text}")
        address = _address(url)
    except ValueError:
        address = None
    if address is None:
        raise ConfigurationError(
            "a part of NATS_URL is not the URL of a server; write 'nats://host:4222' or "
            "'tls://user:password@host:4222', separated by commas"  # the part is not shown: it may hold a password
        )
    if url.username is None:
        return Target(url=address, user=user, password=password)
    if url.password is None:
        return Target(url=address, token=unquote(url.username))
    return Target(url=address, user=unquote(url.username), password=unquote(url.password))


def _address(url: SplitResult) -> str | None:
    if url.scheme not in ("nats", "tls") or not url.hostname or url.path not in ("", "/"):
        return None
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{url.port or _PORT}"
