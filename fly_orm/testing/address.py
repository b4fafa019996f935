"""Addresses of stream sockets: ``host:port``, ``[::1]:port``, or the path of a Unix socket, with a slash in it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from fly_orm.errors import ConfigurationError

#: An address family and what sockets of it connect to: a path, or a numeric host and a port.
SocketAddress = tuple[socket.AddressFamily, str | tuple[str, int]]


def parse(address: str) -> SocketAddress:
    """The socket address that ``address`` denotes; ConfigurationError if it is malformed or cannot be resolved."""
    if "/" in address:
        return socket.AF_UNIX, address
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ConfigurationError(f"not an address: {address!r} (expected host:port, [ipv6]:port or a socket's path)")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(f"cannot resolve {address!r}: {error}") from error
    family, _, _, _, (name, number, *_) = found[0]
    return family, (str(name), int(number))


class Binding:
    """An address that this process keeps even while it does not listen there, so that connections are refused."""

    def __init__(self, address: str) -> None:
        self._family, self._target = parse(address)
        self._reserved: socket.socket | None = None
        self._made = False
        self._owner: os.stat_result | None = None
        if self._family != socket.AF_UNIX:
            self._reserved = self._bound()
            self._target = self._reserved.getsockname()[:2]

    @property
    def address(self) -> str:
        """The address, with the port that was bound."""
        if isinstance(self._target, str):
            return self._target
        host, port = self._target
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def open(self) -> socket.socket:
        """A new socket bound to the address, ready to listen. A Unix socket keeps the owner of the one before it."""
        listener = self._bound()
        if self._owner and isinstance(self._target, str):
            os.chown(self._target, self._owner.st_uid, self._owner.st_gid)
        return listener

    def release(self) -> None:
        """Give the address up."""
        if self._reserved:
            self._reserved.close()
        self._unlink()

    def _bound(self) -> socket.socket:
        self._unlink()
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        if self._family != socket.AF_UNIX:
            # REUSEPORT: the reserved socket and the listening one are bound to one address.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind(self._target)
        except OSError:
            bound.close()
            raise
        self._made = True
        return bound

    def _unlink(self) -> None:
        """Remove the Unix socket made earlier. One that somebody else made stays, and ``bind`` will report it."""
        if isinstance(self._target, str) and self._made:
            with suppress(FileNotFoundError):
                self._owner = Path(self._target).stat()
                Path(self._target).unlink()
