"""TCP sockets that notice within seconds when the network is cut."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from fly_orm.transport import Deadline

from .addresses import Address, AddrInfo, lookup, lookup_within

#: Probe an idle peer after 5 seconds, then every 2 seconds, and give it up after 3 unanswered probes.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 5, 2, 3
#: Seconds after which a peer that acknowledges nothing is given up. Keepalive does not probe while data is
#: unacknowledged, so both are needed.
UNACKNOWLEDGED_TIMEOUT = 6.0

_TCP_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": KEEPALIVE_IDLE,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
    "TCP_USER_TIMEOUT": int(UNACKNOWLEDGED_TIMEOUT * 1000),
}
#: Connections that may wait until they are accepted, as far as the system allows (net.core.somaxconn).
_BACKLOG = 4096
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def tune(sock: socket.socket) -> None:
    """Let a dead peer or network be noticed within seconds, and send small messages without delay."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def connect(address: Address, deadline: Deadline) -> socket.socket:
    """A socket connected to the first of the host's addresses that answers; OSError if none does by the deadline."""
    answers = lookup_within(address, deadline)
    failures = []
    for index, info in enumerate(answers):
        remaining = deadline.remaining()
        share = None if remaining is None else remaining / (len(answers) - index)
        try:
            return _connect(info, deadline.within(share))
        except OSError as error:
            failures.append(f"{info[4][0]}: {error}")
    raise OSError("; ".join(failures) or "the host name has no address")


def _connect(info: AddrInfo, deadline: Deadline) -> socket.socket:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(info[0], info[1], info[2]))
        limit(sock, deadline)
        sock.connect(info[4])
        tune(sock)
        stack.pop_all()
        return sock


def limit(sock: socket.socket, deadline: Deadline) -> None:
    """Let the next call on ``sock`` end by the deadline; TimeoutError if that has passed."""
    remaining = deadline.remaining()
    if remaining == 0:
        raise TimeoutError("timed out")
    # At most a million seconds: more overflows C time types in some versions of Python.
    sock.settimeout(None if remaining is None else min(remaining, 1e6))


def listen(address: Address) -> list[socket.socket]:
    """Sockets that listen at one port, on each address of the host that this machine has; OSError if none can.

    For port 0 there is one socket only, since a port that is free at one address may be taken at another.
    """
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        absent = OSError("the host name has no address")
        for info in dict.fromkeys(lookup(address, socket.AI_PASSIVE)):
            try:
                listeners.append(stack.enter_context(_listen(info)))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
            if address.port == 0 and listeners:
                break
        if not listeners:
            raise absent
        stack.pop_all()
        return listeners


def _listen(info: AddrInfo) -> socket.socket:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(info[0], info[1], info[2]))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, info[4][0] != "::")
        sock.bind(info[4])
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the sockets that it accepts inherit this
        sock.listen(_BACKLOG)
        sock.setblocking(False)
        stack.pop_all()
        return sock
