"""TLS between nodes, with a certificate on both ends, for transports over TCP."""

from __future__ import annotations

import logging
import math
import os
import socket
import ssl
import stat
import threading
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NoReturn

from ..concurrency.forks import abandon_in_children
from ..deadline import Deadline, now, wall_clock
from ..errors import ConfigurationError
from .expiry import DAY, RENEW, Renewal, authority_validity, chain_validity
from .tls_socket import TlsSocket

log = logging.getLogger("fly_orm")

#: The variables that name the files, for messages.
VARIABLES = ("FLY_ORM_TLS_CERT", "FLY_ORM_TLS_KEY", "FLY_ORM_TLS_CA")

#: Seconds for which no second peer is logged that was turned away.
LOG_INTERVAL = 60.0
#: Seconds after which changed files that could not be loaded are tried again, even if they look the same: perhaps the
#: process had no file descriptor left.
RETRY_INTERVAL = 10.0


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """The PEM files by which a process proves that it belongs to the application, and checks that others do."""

    certificate: str
    """The certificate of this process, and those between it and the authority, if there are any."""
    key: str
    """Its private key, which is not encrypted."""
    authority: str
    """The certificates of the authorities that have issued those of all peers."""

    def check(self) -> TlsFiles:
        """The files themselves; ConfigurationError unless all three are named."""
        named = (self.certificate, self.key, self.authority)
        missing = [variable for variable, path in zip(VARIABLES, named, strict=True) if not path]
        if missing:
            raise ConfigurationError(
                f"{' and '.join(missing)} must be set as well: TLS needs the certificate of this process, its key, and "
                "the certificate of the authority; `fly-orm certificates` makes them"
            )
        return self

    def to_renew(self, time: float) -> list[Renewal]:
        """The certificates that have expired at a time of day, or are to be renewed by then."""
        found = [
            (self.certificate, chain_validity(self.certificate)),
            (self.authority, authority_validity(self.authority)),
        ]
        return [
            Renewal(file=self.named(path), validity=validity, is_late=validity.ends <= time)
            for path, validity in found
            if validity is not None and validity.renew_at <= time
        ]

    def named(self, path: str) -> str:
        """One of the files, and the variable that names it, for messages."""
        paths = (self.certificate, self.key, self.authority)
        return f"{path!r} ({VARIABLES[paths.index(path)]})"


@dataclass(frozen=True, kw_only=True)
class _Contexts:
    client: ssl.SSLContext
    server: ssl.SSLContext


class Tls:
    """Encrypts connections to peers that the authority has issued a certificate to, and refuses others. Thread-safe.

    Files that have changed are loaded before the next connection. Connections that are open stay as they are.
    """

    def __init__(self, files: TlsFiles) -> None:
        """ConfigurationError if a file cannot be loaded, or the key is not that of the certificate."""
        self._files = files
        self._lock = threading.Lock()
        self._seen = _version(files)
        self._contexts = _load(files)
        self._retry_at = math.inf
        """When to load the files again, on the monotonic clock."""
        self._turned_away = _TurnedAway()
        self._look_at = now() + DAY
        """When to look next whether a certificate is to be renewed, on the monotonic clock. A start is announced."""
        abandon_in_children(self)

    def connect(self, sock: socket.socket, deadline: Deadline) -> TlsSocket:
        """A connected socket in TLS, in place of ``sock``. OSError if there is none by the deadline; it is closed then.

        The server may still turn the connection away: it checks this end's certificate last. That is an OSError of the
        first ``recv``.
        """
        secured = TlsSocket(sock, self._current().client, server_side=False)
        try:
            secured.handshake(deadline)
        except BaseException:
            secured.close()
            raise
        return secured

    def accepted(self, sock: socket.socket) -> TlsSocket:
        """An accepted socket in TLS, in place of ``sock``. The handshake is part of its first ``recv``."""
        try:
            peer = "{}:{}".format(*sock.getpeername())
        except (OSError, IndexError):
            peer = "a peer"
        return TlsSocket(
            sock, self._current().server, server_side=True, on_failure=partial(self._turned_away.note, peer)
        )

    def to_renew(self) -> list[Renewal]:
        """The certificates that have expired, or soon will."""
        return self._files.to_renew(wall_clock())

    def _current(self) -> _Contexts:
        if self._look_at <= now():
            self._look_at = now() + DAY
            for renewal in self.to_renew():
                _log_renewal(str(renewal), renewal.is_late, int(wall_clock() / DAY))
        version = _version(self._files)
        if version != self._seen or self._retry_at <= now():
            with self._lock:
                if version != self._seen or self._retry_at <= now():
                    self._reload(is_new=version != self._seen)
                    self._seen = version
        return self._contexts

    def _reload(self, *, is_new: bool) -> None:
        try:
            self._contexts = _load(self._files)
        except ConfigurationError as error:  # perhaps one of the files has not been replaced yet
            self._retry_at = now() + RETRY_INTERVAL
            if is_new:
                log.warning(
                    "the certificates have changed, and those from before stay in use: %s",
                    error,
                    extra={"event": "certificates_not_loaded", "problem": str(error)},
                )
        else:
            self._retry_at = math.inf
            log.info(
                "loaded the changed certificates: %s",
                self._files.certificate,
                extra={"event": "certificates_loaded", "file": str(self._files.certificate)},
            )

    def abandon(self) -> None:
        """Replace the lock in a forked process."""
        self._lock = threading.Lock()
        abandon_in_children(self)


class _TurnedAway:
    """Logs the peers whose handshake has failed, without letting strangers fill the log. Any thread may call."""

    def __init__(self) -> None:
        self._count, self._logged_at = 0, -math.inf

    def note(self, peer: str, problem: str) -> None:
        """Log it, unless another one was logged within a minute."""
        self._count += 1
        if self._logged_at <= now() - LOG_INTERVAL:
            self._logged_at = now()
            log.warning(
                "turned %s away in the TLS handshake: %s. (This is logged once a minute; turned away so far: %d.)",
                peer,
                problem,
                self._count,
                extra={"event": "peer_without_certificate", "peer": peer, "problem": problem, "count": self._count},
            )


def _version(files: TlsFiles) -> tuple[object, ...]:
    """Changes when one of the files does."""
    return tuple(map(_file_version, (files.certificate, files.key, files.authority)))


def _file_version(path: str) -> object:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    # With the time of the last change of its mode or owner, which may be what lets this process read it.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _is_readable_by_all(path: str) -> bool:
    try:
        return os.name == "posix" and bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


@cache
def _warn_of_readable(key: str) -> None:
    log.warning(
        "the key in %r can be read by every user of this machine; `chmod 600` it",
        key,
        extra={"event": "key_readable", "file": str(key)},
    )


@lru_cache(maxsize=16)
def _log_renewal(renewal: str, is_late: bool, _day: int) -> None:
    """Log it once a day for all that use the files in this process."""
    log.log(
        logging.ERROR if is_late else logging.WARNING,
        "%s: %s",
        renewal,
        RENEW,
        extra={"event": "certificate_expires", "problem": renewal},
    )


def _load(files: TlsFiles) -> _Contexts:
    if _is_readable_by_all(files.key):
        _warn_of_readable(files.key)
    client, server = _context(ssl.PROTOCOL_TLS_CLIENT, files), _context(ssl.PROTOCOL_TLS_SERVER, files)
    # Connections are not resumed, and an idle connection would look as if something had arrived.
    server.num_tickets = 0
    return _Contexts(client=client, server=server)


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nodes come and go at addresses that no certificate could name: the authority vouches for all of them alike.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # A connection that ends without a word is one that the peer has closed, as the builds of some systems have it.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", ssl.Options(0))
    path = files.certificate
    try:
        context.load_cert_chain(path, files.key, password=_refuse_password)
        path = files.authority
        context.load_verify_locations(path)
    except FileNotFoundError as error:
        lost = next((each for each in (path, files.key) if not Path(each).exists()), path)
        raise ConfigurationError(
            f"there is no file {files.named(lost)}; `fly-orm certificates` makes certificates"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(_problem(files, path, error)) from error
    return context


def _refuse_password() -> NoReturn:
    raise ValueError("it is encrypted, and there is nobody to ask for the password")


def _problem(files: TlsFiles, path: str, error: OSError | ValueError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"the key in {files.named(files.key)} is not that of the certificate in {files.named(files.certificate)}"
    if isinstance(error, ssl.SSLError):
        named = files.named(path) + (f" or {files.named(files.key)}" if path == files.certificate else "")
        return f"{named} is not a valid PEM file: {error}"
    if isinstance(error, ValueError):
        return f"the key in {files.named(files.key)} cannot be used: {error}"
    if path == files.certificate:  # OpenSSL does not say which of the two
        path = next((each for each in (path, files.key) if not _is_readable(each)), path)
    advice = "; let the user of this process read it" if isinstance(error, PermissionError) else ""
    return f"cannot read {files.named(path)}: {error.strerror or error}{advice}"


def _is_readable(path: str) -> bool:
    return os.access(path, os.R_OK) and not Path(path).is_dir()
