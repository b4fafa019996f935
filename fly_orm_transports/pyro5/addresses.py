"""Addresses such as ``host:port`` or ``[fdaa::3]:port``, and their lookup."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fly_orm.errors import ConfigurationError
from fly_orm.transport import Deadline, Latch, start_thread

#: An answer of getaddrinfo: family, type, protocol, canonical name, socket address.
AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[\w.-]+)):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host, without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address that ``text`` is; ConfigurationError if it is malformed."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not _is_host(match):
        raise ConfigurationError(
            f"{text!r:.100} is not an address: write host:port, with the port between 0 and 65535"
            " and an IPv6 address in brackets, such as 'node.internal:7654' or '[::1]:7654'",
            address=text,
        )
    return Address(host=match["ipv6"] or match["host"], port=int(match["port"]))


def _is_host(match: re.Match[str]) -> bool:
    if match["ipv6"]:
        return _is_ipv6(match["ipv6"])
    return all(0 < len(label) < 64 for label in match["host"].removesuffix(".").split("."))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether only this machine can connect to ``text`` (with or without a port); False if in doubt."""
    try:
        answers = lookup(_lenient(text))
    except (OSError, ConfigurationError):
        return False
    return bool(answers) and all(_loops_back(answer[4][0].partition("%")[0]) for answer in answers)


def _loops_back(text: str) -> bool:
    ip = ipaddress.ip_address(text)
    # Only newer versions of Python count ::ffff:127.0.0.1 as a loopback address.
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _lenient(text: str) -> Address:
    for complete in (text, f"{text}:0"):
        with suppress(ConfigurationError):
            return parse_address(complete)
    return parse_address(f"[{text}]:0")


def lookup(address: Address, flags: int = 0) -> list[AddrInfo]:
    """The TCP socket addresses of the host; OSError if it has none. Blocks for as long as the resolver takes."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [info for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]


def lookup_within(address: Address, deadline: Deadline) -> list[AddrInfo]:
    """As :func:`lookup`, but raises TimeoutError once the deadline has passed."""
    try:
        return lookup(address, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _Lookup(address).result(deadline)


class _Lookup:
    """A name lookup on a thread of its own, since the resolver has no timeout."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._ended = Latch()
        self._found: list[AddrInfo] | OSError = TimeoutError("the name lookup took too long")
        start_thread(self._run, "fly-orm-pyro5 resolver")

    def _run(self) -> None:
        try:
            self._found = lookup(self._address)
        except OSError as error:
            self._found = OSError(f"cannot look up {self._address.host!r}: {error}")
        finally:
            self._ended.set()

    def result(self, deadline: Deadline) -> list[AddrInfo]:
        """The answers; OSError if there are none, or none by the deadline."""
        self._ended.wait(deadline.remaining())
        if isinstance(self._found, OSError):
            raise self._found
        return self._found
