"""Ports that are free."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

#: Below the ports that systems give to outgoing connections. One of those could take a port while its node restarts.
_CANDIDATES = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, at least not until something else is given them."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.choice(_CANDIDATES)
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports
